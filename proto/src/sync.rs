//! Conversions of the messages of service `Sync`.

use std::collections::BTreeMap;

use tollgate_metering::account::{Mode, Overspend, Stamp};
use tollgate_metering::protocol::{
    APPS_MAX, OwnIncarnations, Report, ReportedApp, ReportedDraw, ReportedRegister, Snapshot,
    SnapshotCeiling, SnapshotMeter,
};
use tollgate_metering::{AppId, Incarnation, Meter, Money, Units, UnixMillis, WalletId};

use crate::error::{WireError, each, required};
use crate::types::{PlanPrices, register, register_to_wire, uuid, wallet};
use crate::v1;

/// A report as it travels.
#[must_use]
pub fn report_to_wire(report: &Report) -> v1::Report {
    let mut apps: BTreeMap<Meter, Vec<v1::AppUnits>> = BTreeMap::new();
    for ReportedApp { meter, app, units } in &report.apps {
        let (app, units_nanos) = (app.0.as_bytes().to_vec(), register_to_wire(*units));
        apps.entry(*meter).or_default().push(v1::AppUnits { app, units_nanos });
    }
    let registers = report.registers.iter().map(|reported| v1::Register {
        apps: apps.remove(&reported.meter).unwrap_or_default(),
        ..v1::Register::from(reported)
    });
    let holds = report.holds.iter().map(|(wallet, amount)| v1::Held {
        wallet: wallet.0.as_bytes().to_vec(),
        amount: Some((*amount).into()),
    });
    v1::Report {
        incarnation: Some(report.incarnation.into()),
        seq: report.seq,
        registers: registers.collect(),
        holds: holds.collect(),
        draws: report.draws.iter().map(v1::Draw::from).collect(),
        is_final: report.is_final,
    }
}

/// A snapshot as it travels, with the prices that its stream has not carried yet.
#[must_use]
pub fn snapshot_to_wire(snapshot: &Snapshot, plans: &[PlanPrices]) -> v1::Snapshot {
    v1::Snapshot {
        wallet: snapshot.wallet.0.as_bytes().to_vec(),
        generation: snapshot.generation,
        version: snapshot.version,
        retirements: snapshot.retirements,
        own_list: snapshot.own_list,
        answered_seq: snapshot.answered_seq,
        base: Some(snapshot.base.into()),
        floor: Some(snapshot.floor.into()),
        is_strict: snapshot.mode.overspend == Overspend::Strict,
        mode_counter: snapshot.mode.counter,
        is_mode_changing: snapshot.mode.is_changing,
        horizon_ms: snapshot.horizon.0,
        meters: snapshot.meters.iter().map(v1::SnapshotMeter::from).collect(),
        others_held: Some(snapshot.others_held.into()),
        ceilings: snapshot.ceilings.iter().map(v1::Ceiling::from).collect(),
        plans: plans.iter().map(v1::RatePlanRevision::from).collect(),
    }
}

// === impl OwnIncarnations ===

impl From<&OwnIncarnations> for v1::OwnIncarnations {
    fn from(own: &OwnIncarnations) -> v1::OwnIncarnations {
        let incarnations = own.incarnations.iter().map(|each| (*each).into()).collect();
        v1::OwnIncarnations { number: own.number, incarnations }
    }
}

impl TryFrom<&v1::OwnIncarnations> for OwnIncarnations {
    type Error = WireError;

    fn try_from(wire: &v1::OwnIncarnations) -> Result<OwnIncarnations, WireError> {
        let incarnations = each("incarnations", &wire.incarnations, Incarnation::try_from)?;
        Ok(OwnIncarnations { number: wire.number, incarnations })
    }
}

// === impl Report ===

impl From<&ReportedRegister> for v1::Register {
    fn from(reported: &ReportedRegister) -> v1::Register {
        v1::Register {
            meter: Some((&reported.meter).into()),
            units_nanos: register_to_wire(reported.units),
            is_recovered: reported.is_recovered,
            excess_nanos: register_to_wire(reported.excess),
            apps: Vec::new(),
        }
    }
}

impl TryFrom<&v1::Register> for ReportedRegister {
    type Error = WireError;

    fn try_from(wire: &v1::Register) -> Result<ReportedRegister, WireError> {
        Ok(ReportedRegister {
            meter: required("meter", &wire.meter)?,
            units: register("units_nanos", wire.units_nanos)?,
            is_recovered: wire.is_recovered,
            excess: register("excess_nanos", wire.excess_nanos)?,
        })
    }
}

fn app_units(wire: &v1::AppUnits) -> Result<(AppId, Units), WireError> {
    Ok((AppId(uuid("app", &wire.app)?), register("units_nanos", wire.units_nanos)?))
}

impl From<Stamp> for v1::Stamp {
    fn from(Stamp { mode, epoch, counter }: Stamp) -> v1::Stamp {
        v1::Stamp { mode, epoch, counter }
    }
}

impl TryFrom<&v1::Stamp> for Stamp {
    type Error = WireError;

    fn try_from(wire: &v1::Stamp) -> Result<Stamp, WireError> {
        Ok(Stamp { mode: wire.mode, epoch: wire.epoch, counter: wire.counter })
    }
}

impl From<&ReportedDraw> for v1::Draw {
    fn from(draw: &ReportedDraw) -> v1::Draw {
        v1::Draw {
            wallet: draw.wallet.0.as_bytes().to_vec(),
            mode: draw.mode,
            settled: Some(draw.settled.into()),
            held: Some(draw.held.into()),
            stamp: Some(draw.stamp.into()),
            limit: Some(draw.limit.into()),
            wanted: Some(draw.wanted.into()),
        }
    }
}

impl TryFrom<&v1::Draw> for ReportedDraw {
    type Error = WireError;

    fn try_from(wire: &v1::Draw) -> Result<ReportedDraw, WireError> {
        Ok(ReportedDraw {
            wallet: wallet("wallet", &wire.wallet)?,
            mode: wire.mode,
            settled: required("settled", &wire.settled)?,
            held: required("held", &wire.held)?,
            stamp: required("stamp", &wire.stamp)?,
            limit: required("limit", &wire.limit)?,
            wanted: required("wanted", &wire.wanted)?,
        })
    }
}

impl TryFrom<&v1::Report> for Report {
    type Error = WireError;

    fn try_from(wire: &v1::Report) -> Result<Report, WireError> {
        let holds = each("holds", &wire.holds, |held| -> Result<(WalletId, Money), WireError> {
            Ok((wallet("wallet", &held.wallet)?, required("amount", &held.amount)?))
        })?;
        let registers = each("registers", &wire.registers, ReportedRegister::try_from)?;
        let mut apps = Vec::new();
        for (reported, register) in registers.iter().zip(&wire.registers) {
            let used = each("registers.apps", &register.apps, app_units)?.into_iter();
            let meter = reported.meter;
            apps.extend(used.map(|(app, units)| ReportedApp { meter, app, units }).take(APPS_MAX));
        }
        Ok(Report {
            incarnation: required("incarnation", &wire.incarnation)?,
            seq: wire.seq,
            registers,
            apps,
            holds,
            draws: each("draws", &wire.draws, ReportedDraw::try_from)?,
            is_final: wire.is_final,
        })
    }
}

// === impl Snapshot ===

impl From<&SnapshotMeter> for v1::SnapshotMeter {
    fn from(line: &SnapshotMeter) -> v1::SnapshotMeter {
        v1::SnapshotMeter {
            meter: Some((&line.meter).into()),
            others: Some(line.others.into()),
            closed_charge: Some(line.closed_charge.into()),
        }
    }
}

impl TryFrom<&v1::SnapshotMeter> for SnapshotMeter {
    type Error = WireError;

    fn try_from(wire: &v1::SnapshotMeter) -> Result<SnapshotMeter, WireError> {
        Ok(SnapshotMeter {
            meter: required("meter", &wire.meter)?,
            others: required("others", &wire.others)?,
            closed_charge: required("closed_charge", &wire.closed_charge)?,
        })
    }
}

impl From<&SnapshotCeiling> for v1::Ceiling {
    fn from(grant: &SnapshotCeiling) -> v1::Ceiling {
        v1::Ceiling {
            incarnation: Some(grant.incarnation.into()),
            stamp: Some(grant.stamp.into()),
            draw: Some(grant.draw.into()),
            denied: Some(grant.denied.into()),
        }
    }
}

impl TryFrom<&v1::Ceiling> for SnapshotCeiling {
    type Error = WireError;

    fn try_from(wire: &v1::Ceiling) -> Result<SnapshotCeiling, WireError> {
        Ok(SnapshotCeiling {
            incarnation: required("incarnation", &wire.incarnation)?,
            stamp: required("stamp", &wire.stamp)?,
            draw: required("draw", &wire.draw)?,
            denied: required("denied", &wire.denied)?,
        })
    }
}

impl TryFrom<&v1::Snapshot> for Snapshot {
    type Error = WireError;

    /// Reads all but `plans`, which are [`PlanPrices`] each.
    fn try_from(wire: &v1::Snapshot) -> Result<Snapshot, WireError> {
        let overspend = if wire.is_strict { Overspend::Strict } else { Overspend::Optimistic };
        Ok(Snapshot {
            wallet: wallet("wallet", &wire.wallet)?,
            generation: wire.generation,
            version: wire.version,
            retirements: wire.retirements,
            own_list: wire.own_list,
            answered_seq: wire.answered_seq,
            base: required("base", &wire.base)?,
            floor: required("floor", &wire.floor)?,
            mode: Mode {
                overspend,
                counter: wire.mode_counter,
                is_changing: wire.is_mode_changing,
            },
            horizon: UnixMillis(wire.horizon_ms),
            meters: each("meters", &wire.meters, SnapshotMeter::try_from)?,
            others_held: required("others_held", &wire.others_held)?,
            ceilings: each("ceilings", &wire.ceilings, SnapshotCeiling::try_from)?,
        })
    }
}

//! Values survive the way to the wire and back; what is no value is refused with its field named.

use std::sync::Arc;

use tollgate_metering::account::{Mode, Overspend, Stamp};
use tollgate_metering::protocol::{
    OwnIncarnations, Report, ReportedApp, ReportedDraw, ReportedRegister, Snapshot,
    SnapshotCeiling, SnapshotMeter,
};
use tollgate_metering::rating::{Band, Model};
use tollgate_metering::{
    AppId, BillingType, Incarnation, Meter, Money, Period, PlanId, ProductId, Rates, Units,
    UnixMillis, WalletId,
};
use tollgate_proto::{PlanPrices, report_to_wire, snapshot_to_wire, v1};
use uuid::Uuid;

fn incarnation(number: u128) -> Incarnation {
    Incarnation { born: UnixMillis(1_795_305_600_000), id: Uuid::from_u128(number) }
}

fn meter(billing: BillingType) -> Meter {
    Meter {
        wallet: WalletId(Uuid::from_u128(1)),
        product: ProductId(Uuid::from_u128(2)),
        plan: PlanId(Uuid::from_u128(3)),
        billing,
        period: Period::of(UnixMillis(1_795_305_600_000)),
        revision: 7,
    }
}

const STAMP: Stamp = Stamp { mode: 8, epoch: 1, counter: 2 };

fn report() -> Report {
    let registers = [BillingType::Prepaid, BillingType::Postpaid].map(|billing| ReportedRegister {
        meter: meter(billing),
        units: Units::REGISTER_MAX,
        is_recovered: billing == BillingType::Postpaid,
        excess: Units::from_register(5),
    });
    Report {
        incarnation: incarnation(9),
        seq: 1_795_305_600_000_001,
        registers: registers.to_vec(),
        apps: [(BillingType::Prepaid, 1), (BillingType::Prepaid, 2), (BillingType::Postpaid, 1)]
            .map(|(billing, app)| ReportedApp {
                meter: meter(billing),
                app: AppId(Uuid::from_u128(app)),
                units: Units::from_register(4),
            })
            .to_vec(),
        holds: vec![(WalletId(Uuid::from_u128(1)), "0.01".parse().unwrap())],
        draws: vec![ReportedDraw {
            wallet: WalletId(Uuid::from_u128(1)),
            mode: 3,
            settled: "7".parse().unwrap(),
            held: "0.5".parse().unwrap(),
            stamp: STAMP,
            limit: "8".parse().unwrap(),
            wanted: "0.25".parse().unwrap(),
        }],
        is_final: true,
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        wallet: WalletId(Uuid::from_u128(1)),
        generation: 2,
        version: 3,
        retirements: 4,
        own_list: 5,
        answered_seq: 6,
        base: Money::MIN,
        floor: "-0.5".parse().unwrap(),
        mode: Mode { overspend: Overspend::Strict, counter: 8, is_changing: true },
        horizon: UnixMillis(9),
        meters: vec![SnapshotMeter {
            meter: meter(BillingType::Prepaid),
            others: Units::MAX,
            closed_charge: Money::MAX,
        }],
        others_held: Money::ZERO,
        ceilings: vec![SnapshotCeiling {
            incarnation: incarnation(9),
            stamp: STAMP,
            draw: "3".parse().unwrap(),
            denied: "0.75".parse().unwrap(),
        }],
    }
}

fn prices() -> PlanPrices {
    let bands = vec![
        Band { up_to: Some(Units::ONE), price: Money::ZERO },
        Band { up_to: None, price: "0.01".parse().unwrap() },
    ];
    let rates = Arc::new(Rates::new(Model::Tiered, bands, "2.5".parse().unwrap()).unwrap());
    PlanPrices { plan: PlanId(Uuid::from_u128(3)), revision: 7, rates }
}

#[test]
fn messages_come_back_as_they_went() {
    assert_eq!(Report::try_from(&report_to_wire(&report())), Ok(report()));
    let wire = snapshot_to_wire(&snapshot(), &[prices()]);
    assert_eq!(Snapshot::try_from(&wire), Ok(snapshot()));
    assert_eq!(PlanPrices::try_from(&wire.plans[0]), Ok(prices()));
    let own = OwnIncarnations { number: 3, incarnations: vec![incarnation(1), incarnation(2)] };
    assert_eq!(OwnIncarnations::try_from(&v1::OwnIncarnations::from(&own)), Ok(own));
}

#[test]
fn prices_without_a_model_are_marginal_and_of_an_unknown_one_are_refused() {
    let mut wire = v1::RatePlanRevision::from(&prices());
    wire.model = 0;
    assert_eq!(PlanPrices::try_from(&wire).unwrap().rates.model(), Model::Marginal);
    wire.model = 9;
    let error = PlanPrices::try_from(&wire).unwrap_err().to_line();
    assert_eq!(error, "field model: not one of the values that it can have");
}

#[test]
fn a_message_that_cannot_be_read_names_the_field() {
    let check = |break_it: fn(&mut v1::Report), want: &str| {
        let mut wire = report_to_wire(&report());
        break_it(&mut wire);
        assert_eq!(Report::try_from(&wire).unwrap_err().to_line(), want);
    };
    check(|wire| wire.incarnation = None, "field incarnation: it is missing");
    check(
        |wire| wire.incarnation.as_mut().unwrap().id = vec![1],
        "field incarnation.id: not a UUID of 16 bytes",
    );
    check(
        |wire| wire.registers[1].meter.as_mut().unwrap().wallet = Vec::new(),
        "field registers[1].meter.wallet: not a UUID of 16 bytes",
    );
    check(
        |wire| wire.registers[0].meter.as_mut().unwrap().billing_type = 77,
        "field registers[0].meter.billing_type: not one of the values that it can have",
    );
    check(
        |wire| wire.registers[0].meter.as_mut().unwrap().revision = 0,
        "field registers[0].meter.revision: not one of the values that it can have",
    );
    check(
        |wire| wire.registers[0].units_nanos = 1 << 63,
        "field registers[0].units_nanos: not an amount of units: units are out of range: \
         between 0 and 1000000000000000000",
    );
    check(
        |wire| wire.holds[0].amount = Some(v1::Money { units: -1, nanos: 5 }),
        "field holds[0].amount: not an amount of money: nanos must lie between -999999999 and \
         999999999 and have no other sign than a negative amount's",
    );
    let mut wire = snapshot_to_wire(&snapshot(), &[]);
    wire.meters[0].others = Some(v1::Units { low: 0, high: u64::MAX });
    let error = Snapshot::try_from(&wire).unwrap_err();
    assert_eq!(error.field, "meters[0].others");
}

proptest::proptest! {
    #[test]
    fn amounts_come_back(nanos in Money::MIN.nanos()..=Money::MAX.nanos()) {
        let money = Money::from_nanos(nanos).unwrap();
        proptest::prop_assert_eq!(Money::try_from(&v1::Money::from(money)), Ok(money));
        let units = Units::from_nanos(nanos.unsigned_abs() % Units::MAX.nanos()).unwrap();
        proptest::prop_assert_eq!(Units::try_from(&v1::Units::from(units)), Ok(units));
    }
}

//! Billing types that change.
//!
//! From prepaid to postpaid takes effect with one write of the developer, and what is left in the
//! wallets is moved after it, under ids made of the number of the switch, which that write raises.
//! A marker written before it finds what a crash left in between; until all is moved the switch is
//! open, and the billing type cannot change back.
//!
//! Not here: moving balances (`crate::fees`).

use std::time::Duration;

use tollgate_metering::{BillingType, DeveloperId, UnixMillis};

use super::Catalogue;
use super::developers::missing;
use super::error::CatalogueError;
use super::records::{BillingSwitch, Developer};
use super::store::{ALL, BILLING_SWITCH, billing_switch_key, developer_key};
use crate::documents::Put;

/// Age at which a marker without an open switch is removed: nobody is still about to open it.
const MARKER_KEPT: Duration = Duration::from_secs(3_600);

// === impl Catalogue ===

impl Catalogue {
    /// Sets who pays when; calls admitted before keep the billing type they were admitted with.
    ///
    /// A switch from prepaid to postpaid is open when this returns: see `Fees::finish_switch`.
    ///
    /// # Errors
    /// `Missing`, `Precondition` (an open switch would change back), or the store's.
    pub async fn set_billing(
        &self,
        organization: &str,
        email_or_id: &str,
        billing: BillingType,
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        // An id is that of a developer or of an AppGroup.
        let found = match email_or_id.parse() {
            Ok(id) => self.developer_by_id(organization, id).await?,
            Err(_) => self.developer(organization, email_or_id).await?,
        };
        if found.billing == billing {
            return Ok(found);
        }
        if billing == BillingType::Postpaid {
            self.mark_switch(organization, found.id, now).await?;
        }
        let edited = self
            .edit(&developer_key(organization, found.id), now, |developer: &mut Developer| {
                if developer.is_deleted {
                    return Err(missing(organization, &developer.email));
                }
                if developer.billing != billing {
                    developer.switch(billing, now)?;
                }
                Ok(())
            })
            .await?;
        let (developer, ()) = edited.ok_or_else(|| missing(organization, email_or_id))?;
        Ok(developer)
    }

    /// Notes that everything is moved that was left in the wallets at this switch.
    ///
    /// # Errors
    /// The store's.
    pub async fn close_switch(
        &self,
        organization: &str,
        developer: DeveloperId,
        number: u32,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = developer_key(organization, developer);
        let close = |developer: &mut Developer| {
            if developer.switches == number {
                developer.is_switch_open = false;
            }
            Ok(())
        };
        self.edit(&key, now, close).await.map(drop)
    }

    /// Developers whose switch may be open, in order of id, from `start` (included) on.
    ///
    /// # Errors
    /// The store's.
    pub async fn switches(
        &self,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BillingSwitch>, CatalogueError> {
        let page = self.page::<BillingSwitch>(BILLING_SWITCH, ALL, start, limit).await?;
        Ok(page.into_iter().map(|(_, switch)| switch).collect())
    }

    /// Removes a marker that stands for nothing any more, unless somebody wrote it anew meanwhile,
    /// who is about to open a switch.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_switch(
        &self,
        switch: &BillingSwitch,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        if now.since(switch.at) < MARKER_KEPT {
            return Ok(());
        }
        let key = billing_switch_key(switch.developer);
        let Some(found) = self.load::<BillingSwitch>(&key).await? else { return Ok(()) };
        if found.record.at == switch.at {
            // Where the version is another by now, it was written anew.
            self.documents.delete(&key, found.version, now).await?;
        }
        Ok(())
    }

    async fn mark_switch(
        &self,
        organization: &str,
        developer: DeveloperId,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let key = billing_switch_key(developer);
        let marker = BillingSwitch { organization: organization.to_owned(), developer, at: now };
        if self.insert(&key, &marker, now).await? == Put::Written {
            return Ok(());
        }
        let refresh = |found: &mut BillingSwitch| {
            found.at = now;
            Ok(())
        };
        match self.edit(&key, now, refresh).await? {
            Some(_) => Ok(()),
            // Removed in between; whoever asks again writes it.
            None => Err(CatalogueError::Contended { what: "billing type" }),
        }
    }
}

// === impl Developer ===

impl Developer {
    fn switch(&mut self, billing: BillingType, now: UnixMillis) -> Result<(), CatalogueError> {
        match billing {
            BillingType::Prepaid if self.is_switch_open => {
                let what = format!(
                    "what was left in the wallets of {} when it became POSTPAID is still to be moved",
                    self.email
                );
                return Err(CatalogueError::Precondition(what));
            }
            BillingType::Prepaid => {}
            BillingType::Shadow | BillingType::ShadowRefused => {
                return Err(CatalogueError::invalid(
                    "billingType",
                    "is of plans, not of developers",
                ));
            }
            BillingType::Postpaid => {
                self.switches += 1;
                self.switched_at = Some(now);
                self.is_switch_open = true;
            }
        }
        self.billing = billing;
        self.modified_at = now;
        Ok(())
    }
}

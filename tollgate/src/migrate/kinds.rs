//! The kinds of Edge's records: where the folder has them, and which of their fields are known.

/// A kind of record, in the order in which they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Product,
    Developer,
    App,
    Package,
    RatePlan,
    Acceptance,
    Balance,
    Transaction,
}

// === impl Kind ===

impl Kind {
    pub(super) const ALL: [Kind; 8] = [
        Kind::Product,
        Kind::Developer,
        Kind::App,
        Kind::Package,
        Kind::RatePlan,
        Kind::Acceptance,
        Kind::Balance,
        Kind::Transaction,
    ];

    /// Name of the folder, or of the file with `.json` behind it: as in the path of Edge's API.
    pub(super) fn place(self) -> &'static str {
        match self {
            Kind::Product => "apiproducts",
            Kind::Developer => "developers",
            Kind::App => "apps",
            Kind::Package => "monetization-packages",
            Kind::RatePlan => "rate-plans",
            Kind::Acceptance => "developer-accepted-rateplans",
            Kind::Balance => "developer-balances",
            Kind::Transaction => "transactions",
        }
    }

    /// What a list of them is called in Edge's answers.
    pub(super) fn list(self) -> &'static str {
        match self {
            Kind::Product => "apiProduct",
            Kind::Developer => "developer",
            Kind::App => "app",
            Kind::Package => "monetizationPackage",
            Kind::RatePlan => "ratePlan",
            Kind::Acceptance => "developerRatePlan",
            Kind::Balance => "developerBalance",
            Kind::Transaction => "transaction",
        }
    }

    /// Fields that go into a body as they are.
    pub(super) fn copied(self) -> &'static str {
        match self {
            Kind::Product => {
                "name displayName description approvalType apiResources environments proxies \
                 scopes attributes quota quotaInterval quotaTimeUnit operationGroup \
                 graphqlOperationGroup"
            }
            Kind::Developer => "email firstName lastName userName attributes companies",
            Kind::App => "name callbackUrl scopes attributes appFamily",
            Kind::Package => "id name displayName description status",
            Kind::RatePlan => {
                "id name displayName description type published isPrivate setUpFee recurringFee \
                 frequencyDuration frequencyDurationType currency developerCategory startDate \
                 endDate ratePlanDetails advance prorate recurringType recurringStartUnit \
                 earlyTerminationFee paymentDueDays contractDuration contractDurationType"
            }
            Kind::Acceptance => "ratePlan startDate endDate",
            Kind::Balance => "",
            Kind::Transaction => {
                "type application product batchSize custAtt1 custAtt2 custAtt3 custAtt4 custAtt5 \
                 custAtt6 custAtt7 custAtt8 custAtt9 custAtt10"
            }
        }
    }

    /// Fields that are read, or of which Tollgate has its own; every other one is told.
    pub(super) fn read(self) -> &'static str {
        match self {
            Kind::Product => "createdAt createdBy lastModifiedAt lastModifiedBy",
            Kind::Developer => {
                "developerId status billingType organizationName apps createdAt createdBy \
                 lastModifiedAt lastModifiedBy"
            }
            Kind::App => {
                "appId developerId status credentials createdAt createdBy lastModifiedAt \
                 lastModifiedBy"
            }
            Kind::Package => "product organization created updated",
            Kind::RatePlan => "developer monetizationPackage organization created updated",
            Kind::Acceptance => {
                "id developer created updated renewalDate nextCycleStartDate nextRecurringFeeDate"
            }
            Kind::Balance => "id amount usage supportedCurrency chargePerUsage isRecurring",
            Kind::Transaction => {
                "id status developer currency ratePlan rate startTime endTime utcStartTime \
                 utcEndTime ratedVolume"
            }
        }
    }
}

//! The caller of one request, as the token shows it.

use std::collections::BTreeSet;

use outdial_core::{AccountId, Error, ErrorClass};

/// What a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is the scope it is named after")]
pub enum Scope {
    AccountsRead,
    RostersRead,
    RostersWrite,
    RecordsRead,
    RecordsPii,
    EventsRead,
    SubscriptionsManage,
    QuarantineManage,
    VendorCall,
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Self] = &[
        Self::AccountsRead,
        Self::RostersRead,
        Self::RostersWrite,
        Self::RecordsRead,
        Self::RecordsPii,
        Self::EventsRead,
        Self::SubscriptionsManage,
        Self::QuarantineManage,
        Self::VendorCall,
    ];

    /// The scope as it stands in a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountsRead => "accounts:read",
            Self::RostersRead => "rosters:read",
            Self::RostersWrite => "rosters:write",
            Self::RecordsRead => "records:read",
            Self::RecordsPii => "records:pii",
            Self::EventsRead => "events:read",
            Self::SubscriptionsManage => "subscriptions:manage",
            Self::QuarantineManage => "quarantine:manage",
            Self::VendorCall => "vendor:call",
        }
    }
}

/// Which accounts a token covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountGrant {
    /// `"*"`.
    All,
    /// These.
    Some(BTreeSet<AccountId>),
}

/// The caller of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// `iss` of the token.
    pub issuer: String,
    /// `sub` of the token.
    pub subject: String,
    /// Scopes of the token that we know.
    pub scopes: BTreeSet<Scope>,
    /// Accounts of the token.
    pub accounts: AccountGrant,
}

impl Principal {
    /// Whether the token carries a scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether the token covers an account.
    pub fn covers(&self, account: &AccountId) -> bool {
        match &self.accounts {
            AccountGrant::All => true,
            AccountGrant::Some(accounts) => accounts.contains(account),
        }
    }

    /// Demands a scope.
    ///
    /// # Errors
    /// `Forbidden`, naming the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.has(scope) {
            return Ok(());
        }
        let message = format!("The token lacks the scope {}.", scope.as_str());
        Err(Error::new(ErrorClass::Forbidden, "insufficient-scope", message))
    }
}

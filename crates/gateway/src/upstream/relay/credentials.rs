//! The headers that put an account's token on, made once for each token and thread.

use std::{cell::RefCell, collections::HashMap};

use awc::http::header::{HeaderMap, HeaderName, HeaderValue};
use outdial_core::{AccountId, Error, ErrorClass, ExposeSecret, SecretString};

use crate::accounts::Account;

/// The headers of each account's last token.
#[derive(Default)]
pub(super) struct Credentials(RefCell<HashMap<AccountId, Made>>);

struct Made {
    token: SecretString,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Credentials {
    /// Puts an account's token on.
    ///
    /// # Errors
    /// When it cannot stand in a header.
    pub(super) fn put_on(
        &self,
        account: &Account,
        token: &SecretString,
        to: &mut HeaderMap,
    ) -> Result<(), Error> {
        let mut made = self.0.borrow_mut();
        let is_made = made.get(&account.id).is_some_and(|made| is_same(&made.token, token));
        if !is_made {
            let headers = make(account, token)?;
            made.insert(account.id.clone(), Made { token: token.clone(), headers });
        }
        for (name, value) in made.get(&account.id).iter().flat_map(|made| &made.headers) {
            to.insert(name.clone(), value.clone());
        }
        Ok(())
    }
}

fn is_same(a: &SecretString, b: &SecretString) -> bool {
    a.expose_secret() == b.expose_secret()
}

/// The adapter's headers, as awc has them.
fn make(account: &Account, token: &SecretString) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let mut headers = http::HeaderMap::new();
    account.vendor.authorize(&mut headers, token)?;
    let convert = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        let mut value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    let converted = headers.iter().map(convert).collect::<Option<_>>();
    converted.ok_or_else(|| {
        Error::new(ErrorClass::Internal, "internal", "The vendor's token cannot stand in a header.")
    })
}

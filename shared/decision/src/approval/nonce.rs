//! Proof that a form was rendered by us, for this link, in the browser that sends it.
//!
//! The page's GET puts a random nonce into a cookie and the nonce's signature into the form. A page of
//! somebody else can make a browser send a form, but can neither read our cookie nor make the signature,
//! and the cookie is not sent at all from another site (`SameSite=Strict`). Nothing is stored.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys::Keys;
use super::link::VerifiedLink;
use crate::names::ExecutionId;

const PURPOSE: &str = "signalbox approval form v1";
const OLDER: &str = "signalbox approval of an older revision v1";

/// The random value in the cookie. Its `Debug` form does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// Takes 32 random bytes.
    #[must_use]
    pub const fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Reads a cookie's value; `None` if it is not one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 43 {
            return None;
        }
        let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
        (decoded.len() == bytes.len()).then(|| bytes.copy_from_slice(&decoded))?;
        Some(Self(bytes))
    }

    /// The cookie's value.
    #[must_use]
    pub fn cookie_value(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The form's value for one link.
    #[must_use]
    pub fn form_value(&self, link: &VerifiedLink, keys: &Keys) -> String {
        let key = keys.by_id(&link.key_id).unwrap_or_else(|| keys.current());
        URL_SAFE_NO_PAD.encode(key.sign(PURPOSE, &[&link.signature, &self.0]))
    }

    /// Whether the form's value was made for this nonce and this link; compared in constant time.
    #[must_use]
    pub fn fits(&self, form_value: &str, link: &VerifiedLink, keys: &Keys) -> bool {
        let Ok(value) = URL_SAFE_NO_PAD.decode(form_value) else {
            return false;
        };
        keys.by_id(&link.key_id)
            .is_some_and(|key| key.verify(PURPOSE, &[&link.signature, &self.0], &value))
    }

    /// The value of the second form, by which somebody says that they mean the older revision although
    /// `newer` wait behind it. It is good for these newer runs only: who confirmed one does not know of the
    /// next.
    #[must_use]
    pub fn older_value(&self, link: &VerifiedLink, keys: &Keys, newer: &[ExecutionId]) -> String {
        let key = keys.by_id(&link.key_id).unwrap_or_else(|| keys.current());
        URL_SAFE_NO_PAD.encode(key.sign(OLDER, &[&link.signature, &self.0, waiting(newer).as_bytes()]))
    }

    /// Whether the second form's value was made for this nonce, this link and these newer runs; compared in
    /// constant time.
    #[must_use]
    pub fn fits_older(&self, value: &str, link: &VerifiedLink, keys: &Keys, newer: &[ExecutionId]) -> bool {
        let Ok(value) = URL_SAFE_NO_PAD.decode(value) else {
            return false;
        };
        keys.by_id(&link.key_id).is_some_and(|key| {
            key.verify(
                OLDER,
                &[&link.signature, &self.0, waiting(newer).as_bytes()],
                &value,
            )
        })
    }
}

fn waiting(newer: &[ExecutionId]) -> String {
    let mut ids: Vec<&str> = newer.iter().map(ExecutionId::as_str).collect();
    ids.sort_unstable();
    ids.join(" ")
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::tests::{keys, link};
    use super::super::link::{Link, VerifiedLink};
    use super::super::tests::approver;
    use super::*;

    fn verified(link: &Link) -> VerifiedLink {
        Link::verify(&link.sign(&keys()), &keys()).unwrap()
    }

    #[test]
    fn a_form_fits_its_own_cookie_and_link_only() {
        let (ann, bob) = (
            link(),
            Link {
                approver: approver("bob@example.com"),
                ..link()
            },
        );
        let (ann, bob) = (verified(&ann), verified(&bob));
        let (one, other) = (Nonce::new([1; 32]), Nonce::new([2; 32]));
        let value = one.form_value(&ann, &keys());
        assert!(one.fits(&value, &ann, &keys()));
        assert!(!other.fits(&value, &ann, &keys()));
        assert!(!one.fits(&value, &bob, &keys()));
        assert!(!one.fits(&one.cookie_value(), &ann, &keys()));
        assert!(!one.fits("", &ann, &keys()));
    }

    #[test]
    fn a_cookie_survives_the_browser_and_is_never_shown() {
        let nonce = Nonce::new([7; 32]);
        assert_eq!(Nonce::parse(&nonce.cookie_value()), Some(nonce));
        assert_eq!(Nonce::parse("short"), None);
        assert_eq!(Nonce::parse(&"=".repeat(43)), None);
        assert_eq!(format!("{nonce:?}"), "Nonce(hidden)");
    }
}

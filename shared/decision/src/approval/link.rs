//! The signed link: one path segment that says who may answer what until when, and that only we can make.
//!
//! ```text
//! base64url( version | key id | pipeline | execution | stage | action | token hash | approver | expiry | HMAC-SHA256 )
//! ```
//! Texts are preceded by their length; the signature covers every byte before it. The segment holds
//! only `A-Z a-z 0-9 - _`: no padding, no `=`, `%`, `?` or `&` that a mail system could rewrite or a
//! reader's program could leave out of the link. There is one encoding of each link, so that an altered
//! one is refused and never merely read differently.
//!
//! The link is a credential. Its `Debug` form shows what it speaks of, and never the segment itself;
//! nothing here or in the functions logs a path.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use thiserror::Error;

use super::keys::{Key, Keys, MAC_BYTES};
use super::{ApprovalAction, TokenHash};
use crate::names::Approver;

const VERSION: u8 = 1;
const PURPOSE: &str = "signalbox approval link v1";

/// The longest segment that can be a link: every name at its limit, the approver in four-byte characters.
const MAX_TEXT: usize = 2048;

/// What a link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What waits.
    pub approval: ApprovalAction,
    /// Which asking it is.
    pub token: TokenHash,
    /// Who was asked; the link is theirs alone.
    pub approver: Approver,
    /// Until when; whole seconds.
    pub expires: Timestamp,
}

/// Why a text is not a link of ours. All of them look alike from outside: the page says only that the
/// link is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkError {
    /// Longer than any link.
    #[error("longer than a link can be")]
    TooLong,
    /// Not the encoding of a link.
    #[error("not a link's encoding")]
    Malformed,
    /// Signed, or so it says, with a key that is not live.
    #[error("signed with a key that is not live")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Forged,
}

/// A link whose signature was checked: the proof that every decision about an answer asks for.
#[derive(Debug, Clone)]
pub struct VerifiedLink {
    link: Link,
    pub(super) key_id: String,
    pub(super) signature: [u8; MAC_BYTES],
}

impl VerifiedLink {
    /// What the link says.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }
}

impl Link {
    /// The path segment, signed with the current key.
    #[must_use]
    pub fn sign(&self, keys: &Keys) -> String {
        let key = keys.current();
        let mut bytes = self.encode(key);
        bytes.extend(key.sign(PURPOSE, &[&bytes]));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a path segment and checks its signature, in constant time.
    ///
    /// Whether the link has expired is not asked here: that is part of the answer, which can then still
    /// say what became of the approval.
    ///
    /// # Errors
    /// Everything but the exact text that [`Link::sign`] made with a key that is still live.
    pub fn verify(text: &str, keys: &Keys) -> Result<VerifiedLink, LinkError> {
        if text.len() > MAX_TEXT {
            return Err(LinkError::TooLong);
        }
        // Refuses padding, other alphabets and stray trailing bits: one encoding for each link.
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| LinkError::Malformed)?;
        let (signed, signature) = bytes
            .split_last_chunk::<MAC_BYTES>()
            .ok_or(LinkError::Malformed)?;
        let mut rest = Rest(signed);
        let (VERSION, key_id) = (rest.byte()?, rest.text()?) else {
            return Err(LinkError::Malformed);
        };
        let key = keys.by_id(key_id).ok_or(LinkError::UnknownKey)?;
        if !key.verify(PURPOSE, &[signed], signature) {
            return Err(LinkError::Forged);
        }
        let link = Self::decode(&mut rest)?;
        Ok(VerifiedLink {
            link,
            key_id: key_id.to_owned(),
            signature: *signature,
        })
    }

    fn encode(&self, key: &Key) -> Vec<u8> {
        let approval = &self.approval;
        let mut bytes = vec![VERSION];
        put(&mut bytes, key.id());
        put(&mut bytes, approval.pipeline.as_str());
        put(&mut bytes, approval.execution.as_str());
        put(&mut bytes, approval.stage.as_str());
        put(&mut bytes, approval.action.as_str());
        bytes.extend(self.token.as_bytes());
        put(&mut bytes, self.approver.as_str());
        bytes.extend(self.expires.as_second().to_be_bytes());
        bytes
    }

    fn decode(rest: &mut Rest<'_>) -> Result<Self, LinkError> {
        fn name<T: std::str::FromStr>(rest: &mut Rest<'_>) -> Result<T, LinkError> {
            rest.text()?.parse().map_err(|_| LinkError::Malformed)
        }
        let approval = ApprovalAction {
            pipeline: name(rest)?,
            execution: name(rest)?,
            stage: name(rest)?,
            action: name(rest)?,
        };
        let token = TokenHash::from_bytes(rest.chunk()?);
        let approver = name(rest)?;
        let seconds = i64::from_be_bytes(rest.chunk()?);
        let expires = Timestamp::from_second(seconds).map_err(|_| LinkError::Malformed)?;
        if !rest.0.is_empty() {
            return Err(LinkError::Malformed);
        }
        Ok(Self {
            approval,
            token,
            approver,
            expires,
        })
    }
}

/// Appends a text after its length. Names are far shorter than the 65,535 bytes that two can count;
/// one that were not would be cut here, and its link would not decode.
fn put(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes().iter().take(usize::from(length)));
}

/// What is left to read of a link's bytes.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], LinkError> {
        let (chunk, rest) = self.0.split_first_chunk::<N>().ok_or(LinkError::Malformed)?;
        self.0 = rest;
        Ok(*chunk)
    }

    fn byte(&mut self) -> Result<u8, LinkError> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    fn text(&mut self) -> Result<&'a str, LinkError> {
        let length = usize::from(u16::from_be_bytes(self.chunk()?));
        let (text, rest) = self.0.split_at_checked(length).ok_or(LinkError::Malformed)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| LinkError::Malformed)
    }
}

#[cfg(test)]
mod forgery;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::keys::tests::key;
    use super::super::tests::{approver, at, token, waiting_action};
    use super::*;
    use crate::names::{ActionName, StageName};

    pub(crate) fn keys() -> Keys {
        Keys::new(key("k2", 2), Some(key("k1", 1)))
    }

    pub(crate) fn link() -> Link {
        Link {
            approval: waiting_action(),
            token: token().hash(),
            approver: approver("ann@example.com"),
            expires: at("2026-06-05T14:05:00Z"),
        }
    }

    #[test]
    fn a_link_says_what_was_signed() {
        let text = link().sign(&keys());
        assert_eq!(Link::verify(&text, &keys()).unwrap().link(), &link());
        assert!(
            text.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        );
        assert!(
            text.len() < 400,
            "short enough for every mail program: {}",
            text.len()
        );
    }

    #[test]
    fn the_longest_names_still_make_a_link() {
        let long = Link {
            approval: ApprovalAction {
                stage: StageName::new("s".repeat(100)).unwrap(),
                action: ActionName::new("a".repeat(100)).unwrap(),
                ..waiting_action()
            },
            approver: approver(&"\u{10348}".repeat(254)),
            ..link()
        };
        let text = long.sign(&keys());
        assert_eq!(Link::verify(&text, &keys()).unwrap().link(), &long);
    }

    #[test]
    fn the_previous_key_still_verifies_and_a_retired_one_does_not() {
        let old = Keys::new(key("k1", 1), None);
        let text = link().sign(&old);
        assert!(Link::verify(&text, &keys()).is_ok());
        let rotated = Keys::new(key("k3", 3), Some(key("k2", 2)));
        assert_eq!(Link::verify(&text, &rotated).unwrap_err(), LinkError::UnknownKey);
    }

    #[test]
    fn a_key_of_the_right_id_and_another_secret_is_a_forgery() {
        let text = link().sign(&Keys::new(key("k2", 9), None));
        assert_eq!(Link::verify(&text, &keys()).unwrap_err(), LinkError::Forged);
    }

    #[test]
    fn a_signature_does_not_move_to_another_action() {
        let text = link().sign(&keys());
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        let signature = bytes.split_last_chunk::<MAC_BYTES>().unwrap().1;
        let other = Link {
            approval: ApprovalAction {
                action: ActionName::new("OtherApproval").unwrap(),
                ..waiting_action()
            },
            ..link()
        };
        let mut moved = other.encode(keys().current());
        moved.extend(signature);
        assert_eq!(
            Link::verify(&URL_SAFE_NO_PAD.encode(moved), &keys()).unwrap_err(),
            LinkError::Forged
        );
    }

    #[test]
    fn what_is_no_link_is_refused_at_once() {
        let huge = "A".repeat(MAX_TEXT + 1);
        assert_eq!(Link::verify(&huge, &keys()).unwrap_err(), LinkError::TooLong);
        for text in ["", "a", "%2e%2e", "AQ==", &"A".repeat(2048)] {
            assert_eq!(
                Link::verify(text, &keys()).unwrap_err(),
                LinkError::Malformed,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_altered_character_is_refused(at in any::<prop::sample::Index>(), to in proptest::char::any()) {
            let text = link().sign(&keys());
            let mut altered: Vec<char> = text.chars().collect();
            let at = at.index(altered.len());
            altered[at] = to;
            let altered: String = altered.into_iter().collect();
            prop_assert_eq!(Link::verify(&altered, &keys()).is_ok(), altered == text);
        }

        #[test]
        fn any_altered_byte_is_refused(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let mut bytes = URL_SAFE_NO_PAD.decode(link().sign(&keys())).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(Link::verify(&URL_SAFE_NO_PAD.encode(bytes), &keys()).is_err());
        }

        #[test]
        fn any_cut_or_lengthened_text_is_refused(keep in 0_usize..400, more in "[A-Za-z0-9_=.-]{0,4}") {
            let text = link().sign(&keys());
            let changed = format!("{}{more}", text.get(..keep.min(text.len())).unwrap());
            prop_assert_eq!(Link::verify(&changed, &keys()).is_ok(), changed == text);
        }

        #[test]
        fn anything_at_all_is_refused_without_a_panic(text in ".{0,300}") {
            prop_assert!(Link::verify(&text, &keys()).is_err());
        }

        #[test]
        fn any_bytes_behind_a_known_key_id_are_refused(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![VERSION, 0, 2, b'k', b'2'];
            bytes.extend(tail);
            prop_assert!(Link::verify(&URL_SAFE_NO_PAD.encode(bytes), &keys()).is_err());
        }
    }
}

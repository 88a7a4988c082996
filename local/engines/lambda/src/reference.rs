//! The ways to name a function: name, partial ARN, ARN, each with or without a qualifier.

use signalbox_local_core::{Account, AwsError};

use crate::errors;

/// The qualifier of the code that can still be changed.
pub(crate) const LATEST: &str = "$LATEST";

/// A function, and which of its versions or aliases is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) qualifier: Option<String>,
}

impl Reference {
    /// Reads `FunctionName` and `Qualifier` as the API takes them.
    pub(crate) fn parse(text: &str, qualifier: Option<&str>) -> Result<Self, AwsError> {
        let parts: Vec<&str> = text.split(':').collect();
        let rest = match parts.iter().position(|part| *part == "function") {
            Some(at) if parts.len() > at + 1 => &parts[at + 1..],
            _ if parts.first() == Some(&"arn") => {
                return Err(errors::invalid(format!(
                    "{text} is not the ARN of a Lambda function"
                )));
            }
            _ if parts.len() > 1 && parts[0].len() == 12 && parts[0].bytes().all(|b| b.is_ascii_digit()) => {
                &parts[1..]
            }
            _ => &parts[..],
        };
        let (name, inner) = match rest {
            [name] => (*name, None),
            [name, inner] => (*name, Some(*inner)),
            _ => {
                return Err(errors::invalid(format!(
                    "{text} is not the name or ARN of a Lambda function"
                )));
            }
        };
        if let (Some(inner), Some(explicit)) = (inner, qualifier)
            && inner != explicit
        {
            return Err(errors::invalid(
                "The derived qualifier from the function name does not match the specified qualifier.",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            qualifier: inner.or(qualifier).map(str::to_owned),
        })
    }

    /// The ARN, qualified where the reference is.
    pub(crate) fn arn(&self, account: &Account) -> String {
        match &self.qualifier {
            None => arn(account, &self.name),
            Some(qualifier) => qualified_arn(account, &self.name, qualifier),
        }
    }
}

/// A function's ARN without qualifier.
pub(crate) fn arn(account: &Account, name: &str) -> String {
    account.arn("lambda", &format!("function:{name}"))
}

/// A version's or an alias's ARN.
pub(crate) fn qualified_arn(account: &Account, name: &str, qualifier: &str) -> String {
    account.arn("lambda", &format!("function:{name}:{qualifier}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, qualifier: Option<&str>) -> (String, Option<String>) {
        let reference = Reference::parse(text, qualifier).unwrap();
        (reference.name, reference.qualifier)
    }

    #[test]
    fn every_form_of_a_name_leads_to_the_same_function() {
        for text in [
            "orders",
            "function:orders",
            "123456789012:function:orders",
            "123456789012:orders",
            "arn:aws:lambda:us-east-1:123456789012:function:orders",
        ] {
            assert_eq!(parsed(text, None), ("orders".to_owned(), None), "{text}");
        }
        assert_eq!(
            parsed("arn:aws:lambda:us-east-1:123456789012:function:orders:live", None),
            ("orders".to_owned(), Some("live".to_owned()))
        );
        assert_eq!(
            parsed("orders:3", Some("3")),
            ("orders".to_owned(), Some("3".to_owned()))
        );
    }

    #[test]
    fn two_different_qualifiers_are_refused() {
        assert_eq!(
            Reference::parse("orders:3", Some("4")).unwrap_err().code,
            "InvalidParameterValueException"
        );
        assert!(Reference::parse("arn:aws:sqs:us-east-1:123456789012:queue", None).is_err());
    }
}

//! The account that the local cloud pretends to be.

/// Account and region of everything in the local cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Twelve digits; the emulator's own default, so that both agree on every ARN.
    pub id: String,
    /// For example `us-east-1`, the default of the project.
    pub region: String,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            id: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
        }
    }
}

impl Account {
    /// An ARN with region and account: `arn:aws:{service}:{region}:{account}:{rest}`.
    #[must_use]
    pub fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{rest}", self.region, self.id)
    }
}

//! The names of an environment's parts, by convention; each can be given.

use std::str::FromStr;

use clap::Args;
use signalbox_decision::names::PipelineName;
use signalbox_decision::start::Branch;

/// An environment's name: 1 to 32 letters, digits and hyphens, since names of AWS are made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Environment(String);

impl Environment {
    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch that it deploys, unless the stack's parameter `Branch` says otherwise.
    pub(crate) fn branch(&self) -> &'static str {
        if self.is_production() { "main" } else { "develop" }
    }

    /// Whether people have to approve here.
    pub(crate) fn is_production(&self) -> bool {
        self.0 == "production"
    }
}

impl FromStr for Environment {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
            return Err("an environment's name has 1 to 32 letters, digits and hyphens".to_owned());
        }
        Ok(Self(name.to_owned()))
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the names of a control plane's stack begin with, as the stack's parameter `ControlPlaneName` says.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ControlPlane {
    /// The control plane: each pipeline of an environment has its own.
    #[arg(
        id = "control_plane",
        long = "control-plane",
        value_name = "NAME",
        env = "SIGNALBOX_CONTROL_PLANE",
        default_value = "signalbox",
        value_parser = control_plane_name,
        help_heading = "Names"
    )]
    name: String,
}

/// The template's own rule.
fn control_plane_name(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() > 15 || !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        return Err(
            "a control plane's name has at most 15 lower-case letters, digits and hyphens, and begins with a letter"
                .to_owned(),
        );
    }
    Ok(name.to_owned())
}

impl ControlPlane {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its stack in an environment.
    pub(crate) fn stack(&self, environment: &Environment) -> String {
        format!("{}-{environment}", self.name)
    }
}

/// Which environment, and what in it has another name than the convention's.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The environment that Signalbox was installed for.
    #[arg(
        value_name = "ENVIRONMENT",
        env = "SIGNALBOX_ENVIRONMENT",
        default_value = "staging"
    )]
    pub(crate) environment: Environment,
    /// The pipeline [default: lambda-function-ENVIRONMENT-pipeline].
    #[arg(long, value_name = "NAME", env = "SIGNALBOX_PIPELINE", help_heading = "Names")]
    pipeline: Option<PipelineName>,
    #[command(flatten)]
    pub(crate) control_plane: ControlPlane,
    /// The ledger's table [default: CONTROL_PLANE-ENVIRONMENT-ledger].
    #[arg(
        long,
        value_name = "NAME",
        env = "SIGNALBOX_LEDGER_TABLE",
        help_heading = "Names"
    )]
    ledger_table: Option<String>,
}

impl Place {
    /// The pipeline.
    pub(crate) fn pipeline(&self) -> Result<PipelineName, crate::Error> {
        match &self.pipeline {
            Some(name) => Ok(name.clone()),
            None => PipelineName::new(format!("lambda-function-{}-pipeline", self.environment))
                .map_err(|error| crate::Error::Environment(vec![error.to_string()])),
        }
    }

    /// The ledger's table.
    pub(crate) fn ledger_table(&self) -> String {
        self.ledger_table.clone().unwrap_or_else(|| self.own("ledger"))
    }

    /// Signalbox's own stack.
    pub(crate) fn stack(&self) -> String {
        self.control_plane.stack(&self.environment)
    }

    /// A part of Signalbox's own stack.
    pub(crate) fn own(&self, part: &str) -> String {
        format!("{}-{part}", self.stack())
    }

    /// A parameter of Signalbox's own stack.
    pub(crate) fn parameter(&self, part: &str) -> String {
        format!("/{}/{}/{part}", self.control_plane.name(), self.environment)
    }
}

/// Where packages go.
#[derive(Debug, Clone, Args)]
pub(crate) struct Source {
    /// The bucket that packages are uploaded to [default: that of the pipeline's source action].
    #[arg(
        long,
        value_name = "NAME",
        env = "SIGNALBOX_SOURCE_BUCKET",
        help_heading = "Names"
    )]
    bucket: Option<String>,
    /// What keys of packages begin with, as the stack's parameter SourcePrefix says.
    #[arg(
        long,
        value_name = "PREFIX",
        env = "SIGNALBOX_SOURCE_PREFIX",
        default_value = "source/",
        help_heading = "Names"
    )]
    prefix: String,
    /// The whole key of the object [default: PREFIX + BRANCH/lambda-function.zip].
    #[arg(long, value_name = "KEY", help_heading = "Names")]
    key: Option<String>,
}

impl Source {
    /// The bucket that was given.
    pub(crate) fn bucket(&self) -> Option<&str> {
        self.bucket.as_deref()
    }

    /// The key of a branch's package.
    pub(crate) fn key(&self, branch: &Branch) -> String {
        let separator = if self.prefix.ends_with('/') { "" } else { "/" };
        self.key.clone().unwrap_or_else(|| {
            format!(
                "{}{separator}{}/lambda-function.zip",
                self.prefix,
                branch.as_str()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            environment: "staging".parse().unwrap(),
            pipeline: None,
            control_plane: ControlPlane {
                name: "signalbox".to_owned(),
            },
            ledger_table: None,
        }
    }

    #[test]
    fn names_follow_the_convention_unless_they_are_given() {
        let place = place();
        assert_eq!(
            place.pipeline().unwrap().as_str(),
            "lambda-function-staging-pipeline"
        );
        assert_eq!(place.ledger_table(), "signalbox-staging-ledger");
        let source = Source {
            bucket: None,
            prefix: "source/".to_owned(),
            key: None,
        };
        assert_eq!(
            source.key(&Branch::new("develop").unwrap()),
            "source/develop/lambda-function.zip"
        );
        let given = Place {
            pipeline: Some(PipelineName::new("mine").unwrap()),
            ..place
        };
        assert_eq!(given.pipeline().unwrap().as_str(), "mine");
        let orders = Place {
            control_plane: ControlPlane {
                name: "orders".to_owned(),
            },
            ..given
        };
        assert_eq!(orders.ledger_table(), "orders-staging-ledger");
        assert_eq!(
            orders.parameter("approval-policy"),
            "/orders/staging/approval-policy"
        );
    }

    #[test]
    fn a_control_plane_is_named_as_the_template_allows() {
        assert!(control_plane_name("orders-2").is_ok());
        for name in ["", "2nd", "Orders", "a_b", &"x".repeat(16)] {
            assert!(control_plane_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_environment_that_could_not_be_part_of_a_name_is_refused() {
        for name in ["", "a b", "a/b", &"x".repeat(33)] {
            assert!(name.parse::<Environment>().is_err(), "{name}");
        }
    }
}

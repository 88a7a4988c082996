//! The alias whose traffic a deployment shifts, and the notice when somebody else moves it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use signalbox_local_core::AwsError;
use tokio::sync::Mutex;

use crate::CodeDeployEngine;
use crate::appspec::AppSpec;
use crate::run::End;

#[derive(Debug, Clone, PartialEq)]
struct Routing {
    version: String,
    /// Shares of further versions.
    weights: BTreeMap<String, f64>,
}

/// The alias, and how this deployment left it.
pub(crate) struct Alias<'e> {
    engine: &'e CodeDeployEngine,
    spec: &'e AppSpec,
    /// Held over every look and every change, so that a look never takes a change of ours for another's.
    expected: Mutex<Option<Routing>>,
}

fn refused(error: &AwsError) -> End {
    let code = if error.code.contains("NotFound") {
        "INVALID_LAMBDA_FUNCTION"
    } else {
        "INVALID_LAMBDA_CONFIGURATION"
    };
    End::failed(code, error.message.clone())
}

impl<'e> Alias<'e> {
    pub(crate) fn new(engine: &'e CodeDeployEngine, spec: &'e AppSpec) -> Self {
        Self {
            engine,
            spec,
            expected: Mutex::new(None),
        }
    }

    async fn read(&self) -> Result<Routing, End> {
        let query = json!({"FunctionName": self.spec.function, "Name": self.spec.alias});
        let alias = self
            .engine
            .call_as_service("lambda", "GetAlias", query)
            .await
            .map_err(|error| refused(&error))?;
        let version = alias
            .get("FunctionVersion")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let weights = alias
            .get("RoutingConfig")
            .and_then(|routing| routing.get("AdditionalVersionWeights"))
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(version, weight)| Some((version.clone(), weight.as_f64()?)))
            .collect();
        Ok(Routing { version, weights })
    }

    fn moved(&self, found: &Routing) -> End {
        End::Moved(format!(
            "The alias {} of the function {} was changed outside this deployment: it points to version {}.",
            self.spec.alias, self.spec.function, found.version
        ))
    }

    /// Looks at it for the first time: it must point to the version that the AppSpec calls current.
    pub(crate) async fn open(&self) -> Result<(), End> {
        let mut expected = self.expected.lock().await;
        let found = self.read().await?;
        if found.version != self.spec.current_version {
            return Err(End::Moved(format!(
                "The alias {} of the function {} points to version {}, and the AppSpec's CurrentVersion is {}.",
                self.spec.alias, self.spec.function, found.version, self.spec.current_version
            )));
        }
        *expected = Some(found);
        Ok(())
    }

    /// Whether it is still as this deployment left it.
    pub(crate) async fn check(&self) -> Result<(), End> {
        let expected = self.expected.lock().await;
        let found = self.read().await?;
        match &*expected {
            Some(expected) if *expected != found => Err(self.moved(&found)),
            _ => Ok(()),
        }
    }

    /// Gives the target version this share of the traffic, in percent.
    pub(crate) async fn shift(&self, percentage: u32) -> Result<(), End> {
        let mut expected = self.expected.lock().await;
        let found = self.read().await?;
        if expected.as_ref().is_some_and(|expected| *expected != found) {
            return Err(self.moved(&found));
        }
        let routing = if percentage >= 100 {
            Routing {
                version: self.spec.target_version.clone(),
                weights: BTreeMap::new(),
            }
        } else {
            let share = (self.spec.target_version.clone(), f64::from(percentage) / 100.0);
            Routing {
                version: self.spec.current_version.clone(),
                weights: BTreeMap::from([share]),
            }
        };
        self.write(&routing).await?;
        *expected = Some(routing);
        Ok(())
    }

    /// Everything to the version that was current, at once.
    pub(crate) async fn take_back(&self) -> Result<(), End> {
        let mut expected = self.expected.lock().await;
        let routing = Routing {
            version: self.spec.current_version.clone(),
            weights: BTreeMap::new(),
        };
        self.write(&routing).await?;
        *expected = Some(routing);
        Ok(())
    }

    async fn write(&self, routing: &Routing) -> Result<(), End> {
        let change = json!({
            "FunctionName": self.spec.function,
            "Name": self.spec.alias,
            "FunctionVersion": routing.version,
            "RoutingConfig": {"AdditionalVersionWeights": routing.weights},
        });
        self.engine
            .call_as_service("lambda", "UpdateAlias", change)
            .await
            .map(|_| ())
            .map_err(|error| refused(&error))
    }
}

//! What composite alarms are made of, on every level below the deployment group's own list.

use std::collections::BTreeSet;

/// An alarm that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The composite alarm whose rule names it; the deployment group names the others.
    pub of: Option<String>,
}

/// The alarms that were asked for. Composite alarms may be made of composite ones, and name each other in a circle:
/// each alarm is read once, and what the group lists is not a part as well.
#[derive(Debug, Default)]
pub struct LookedAt(BTreeSet<String>);

impl LookedAt {
    /// The alarms that the group lists.
    pub fn listed(&mut self, names: Vec<String>) -> Vec<Part> {
        self.new_ones(names, None)
    }

    /// The parts of a composite alarm, by its rule, that were not asked for yet.
    pub fn parts_of(&mut self, name: &str, rule: &str) -> Vec<Part> {
        self.new_ones(mentioned(rule), Some(name))
    }

    fn new_ones(&mut self, names: Vec<String>, of: Option<&str>) -> Vec<Part> {
        let part = |name| Part {
            name,
            of: of.map(str::to_owned),
        };
        let new = names.into_iter().filter(|name| self.0.insert(name.clone()));
        new.map(part).collect()
    }
}

/// The names of the alarms that a composite alarm's rule mentions: `ALARM("name")`, `OK(name)`, …
#[must_use]
pub fn mentioned(rule: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for word in ["ALARM(", "OK(", "INSUFFICIENT_DATA("] {
        for (at, _) in rule.match_indices(word) {
            let rest = rule.get(at + word.len()..).unwrap_or_default().trim_start();
            let name = match rest.strip_prefix(['"', '\'']) {
                Some(quoted) => quoted.split(['"', '\'']).next(),
                None => rest.split(')').next().map(str::trim),
            };
            // An alarm may be named by its ARN.
            let name = name.unwrap_or_default();
            let name = name.rsplit_once(":alarm:").map_or(name, |(_, name)| name);
            if !name.is_empty() && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

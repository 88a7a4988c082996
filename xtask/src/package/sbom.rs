//! A function's bill of materials, in CycloneDX: which crates are in its binary, and which made it.
//!
//! Written by hand, though there is a crate that models the format: it turns on features of crates below
//! AWS's SDK, so that whoever runs the demo and then the tests would build the SDK twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_lock::Lockfile;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{build, sha256};

/// A crate's name and version. All come from one registry (deny.toml), so that is enough.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) name: String,
    version: String,
}

impl Id {
    /// As purl names it, which wants a `+` escaped.
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }
}

#[derive(Debug, Default)]
struct Node {
    licence: String,
    depends_on: BTreeSet<Id>,
}

/// What a function is made of: its normal dependencies for one target, with the features that it is built
/// with. That is what `cargo tree` knows; `cargo metadata` resolves features for the whole workspace.
#[derive(Debug)]
pub(super) struct Graph {
    root: Id,
    crates: BTreeMap<Id, Node>,
    /// Those whose code is in the binary: what only a procedural macro needs is not.
    linked: BTreeSet<Id>,
}

impl Graph {
    pub(super) fn of(project: &Path, function: &str, target: &str) -> Result<Self, String> {
        let tree = |edges: &str| {
            let mut cargo = build::cargo();
            cargo
                .args([
                    "tree",
                    "--locked",
                    "--quiet",
                    "--package",
                    function,
                    "--target",
                    target,
                ])
                .args(["--edges", edges, "--prefix", "depth", "--format", "|{p}|{l}"])
                .current_dir(project);
            let output = cargo
                .output()
                .map_err(|error| format!("cargo cannot be run: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("cargo tree of {function}: {}", said.trim()));
            }
            parse(&String::from_utf8_lossy(&output.stdout))
        };
        let (root, crates) = tree("normal")?;
        let (_, linked) = tree("normal,no-proc-macro")?;
        Ok(Self {
            root,
            crates,
            linked: linked.into_keys().collect(),
        })
    }

    /// The document. It has no time, and its number derives from what it says: the same crates and the same
    /// binary give the same bytes.
    pub(super) fn bill(&self, lock: &Lockfile, target: &str, binary: &[u8]) -> Result<String, String> {
        let components = self
            .crates
            .iter()
            .filter(|(id, _)| **id != self.root)
            .map(|(id, node)| Component {
                scope: Some(if self.linked.contains(id) {
                    "required"
                } else {
                    "excluded"
                }),
                ..Component::new("library", id, node, checksum(lock, id))
            });
        let root = self.crates.get(&self.root).ok_or("cargo tree names no crate")?;
        let product = Component::new("application", &self.root, root, Some(sha256(binary)));
        let dependencies = self.crates.iter().map(|(id, node)| {
            let depends_on: Vec<String> = node.depends_on.iter().map(Id::purl).collect();
            json!({ "ref": id.purl(), "dependsOn": depends_on })
        });
        let mut document = json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": product,
                "properties": [{ "name": "signalbox:target", "value": target }],
            },
            "components": components.collect::<Vec<_>>(),
            "dependencies": dependencies.collect::<Vec<_>>(),
        });
        let number = Uuid::new_v5(&Uuid::NAMESPACE_URL, document.to_string().as_bytes());
        if let Value::Object(document) = &mut document {
            document.insert("serialNumber".to_owned(), json!(number.urn().to_string()));
        }
        let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
        Ok(text + "\n")
    }
}

#[derive(Debug, Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Value>,
    purl: String,
}

impl Component {
    fn new(kind: &'static str, id: &Id, node: &Node, sha256: Option<String>) -> Self {
        let licence = Some(&node.licence).filter(|it| !it.is_empty());
        Self {
            kind,
            reference: id.purl(),
            name: id.name.clone(),
            version: id.version.clone(),
            scope: None,
            hashes: sha256
                .map(|digest| json!({ "alg": "SHA-256", "content": digest }))
                .into_iter()
                .collect(),
            licenses: licence
                .map(|it| json!({ "expression": it }))
                .into_iter()
                .collect(),
            purl: id.purl(),
        }
    }
}

/// Of the crate's archive in the registry. Our own crates have none.
fn checksum(lock: &Lockfile, id: &Id) -> Option<String> {
    let package = lock
        .packages
        .iter()
        .find(|it| it.name.as_str() == id.name && it.version.to_string() == id.version)?;
    package.checksum.as_ref().map(ToString::to_string)
}

/// Reads lines such as `2|serde v1.0.229|MIT OR Apache-2.0`. Whose dependencies were listed already has a
/// `(*)` at its end.
fn parse(tree: &str) -> Result<(Id, BTreeMap<Id, Node>), String> {
    let mut crates: BTreeMap<Id, Node> = BTreeMap::new();
    // From the root to the last line.
    let mut above: Vec<Id> = Vec::new();
    for line in tree.lines() {
        let read = || {
            let mut parts = line.splitn(3, '|');
            let depth: usize = parts.next()?.parse().ok()?;
            let (name, rest) = parts.next()?.split_once(" v")?;
            let version = rest.split(' ').next()?;
            let id = Id {
                name: name.to_owned(),
                version: version.to_owned(),
            };
            Some((depth, id, parts.next()?))
        };
        let (depth, id, licence) = read().ok_or_else(|| format!("cargo tree says {line:?}"))?;
        // Old crates write `/` for `OR`.
        let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
        crates.entry(id.clone()).or_default().licence = licence;
        above.truncate(depth);
        if let Some(parent) = above.last() {
            let parent = crates.entry(parent.clone()).or_default();
            parent.depends_on.insert(id.clone());
        }
        above.push(id);
    }
    let root = above.first().cloned().ok_or("cargo tree says nothing")?;
    Ok((root, crates))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "x86_64-unknown-linux-gnu";

    fn project() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    fn bill(function: &str) -> String {
        let lock = Lockfile::load(project().join("Cargo.lock")).unwrap();
        let graph = Graph::of(project(), function, TARGET).unwrap();
        graph.bill(&lock, TARGET, b"a binary").unwrap()
    }

    /// The names below a table of a manifest.
    fn listed(function: &str, table: &str) -> Vec<String> {
        let manifest = project().join("functions").join(function).join("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let table = manifest.split(&format!("[{table}]\n")).nth(1).unwrap_or_default();
        let lines = table.lines().take_while(|line| !line.starts_with('['));
        lines
            .filter_map(|line| Some(line.split_once(['.', ' ', '='])?.0.to_owned()))
            .collect()
    }

    #[test]
    fn a_bill_has_what_the_function_depends_on_and_nothing_of_its_tests() {
        let bill: Value = serde_json::from_str(&bill("roll-back")).unwrap();
        let components = bill["components"].as_array().unwrap();
        let names: BTreeSet<&str> = components.iter().filter_map(|it| it["name"].as_str()).collect();
        let direct = listed("roll-back", "dependencies");
        assert!(direct.len() > 5, "{direct:?}");
        for name in &direct {
            assert!(names.contains(name.as_str()), "{name} is missing");
        }
        let root = &bill["metadata"]["component"];
        let edges = bill["dependencies"].as_array().unwrap();
        let edges = edges.iter().find(|it| it["ref"] == root["bom-ref"]).unwrap();
        assert_eq!(edges["dependsOn"].as_array().unwrap().len(), direct.len());

        // Its tests ask for these; where it has them itself, that is through another crate.
        let mut for_tests = listed("roll-back", "dev-dependencies");
        for_tests.retain(|name| !direct.contains(name));
        assert!(for_tests.len() > 1, "{for_tests:?}");
        let edges = edges["dependsOn"].to_string();
        for name in &for_tests {
            assert!(!edges.contains(&format!("/{name}@")), "{name} is for tests");
        }
        for name in ["proptest", "libtest-mimic", "clap", "signalbox-local"] {
            assert!(!names.contains(name), "{name} is in no function");
        }
        assert!(!names.contains("roll-back") && root["name"] == "roll-back");
    }

    #[test]
    fn every_crate_of_the_registry_has_its_licence_and_its_checksum() {
        let bill: Value = serde_json::from_str(&bill("roll-back")).unwrap();
        for component in bill["components"].as_array().unwrap() {
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
            let ours = component["name"].as_str().unwrap().starts_with("signalbox-");
            let digest = component["hashes"][0]["content"].as_str();
            assert_eq!(digest.map(str::len), (!ours).then_some(64), "{component}");
        }
        let find = |name: &str| {
            let components = bill["components"].as_array().unwrap();
            components.iter().find(|it| it["name"] == name).unwrap()["scope"].clone()
        };
        assert_eq!(find("serde_core"), "required");
        assert_eq!(find("serde_derive"), "excluded", "it runs in the build only");
    }

    #[test]
    fn a_bill_is_the_same_twice_and_names_no_path() {
        let first = bill("sweep");
        assert_eq!(first, bill("sweep"));
        assert!(!first.contains(&project().display().to_string()));
        let lock = Lockfile::load(project().join("Cargo.lock")).unwrap();
        let graph = Graph::of(project(), "sweep", TARGET).unwrap();
        let other = graph.bill(&lock, TARGET, b"another binary").unwrap();
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap()["serialNumber"].clone();
        assert_ne!(number(&first), number(&other));
    }

    #[test]
    fn a_tree_is_read_with_its_repeated_parts() {
        let tree =
            "0|a v1.0.0 (/x/a)|MIT\n1|b v2.0.0+c (proc-macro)|MIT/Apache-2.0\n2|d v3.0.0|\n1|d v3.0.0| (*)\n";
        let (root, crates) = parse(tree).unwrap();
        assert_eq!(root.purl(), "pkg:cargo/a@1.0.0");
        let edges: Vec<_> = crates[&root].depends_on.iter().map(Id::purl).collect();
        assert_eq!(edges, ["pkg:cargo/b@2.0.0%2Bc", "pkg:cargo/d@3.0.0"]);
        let b = crates.iter().find(|(id, _)| id.name == "b").unwrap().1;
        assert_eq!(b.licence, "MIT OR Apache-2.0");
        assert!(parse("nonsense").is_err());
    }
}

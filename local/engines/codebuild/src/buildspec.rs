//! The buildspec: YAML, version 0.2.

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_yaml_ng::Value;

use crate::phase::PhaseType;

/// A buildspec, checked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Buildspec {
    version: Text,
    pub(crate) env: Env,
    phases: Phases,
    pub(crate) artifacts: Option<ArtifactsSection>,
    pub(crate) cache: CacheSection,
    pub(crate) reports: IndexMap<String, ReportSection>,
    /// What the buildspec says that has no effect here, for the log.
    #[serde(skip)]
    pub(crate) notes: Vec<String>,
}

/// `env`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Env {
    pub(crate) shell: Option<String>,
    pub(crate) variables: IndexMap<String, Text>,
    pub(crate) parameter_store: IndexMap<String, Text>,
    pub(crate) secrets_manager: IndexMap<String, Text>,
    pub(crate) exported_variables: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Phases {
    install: Option<PhaseSection>,
    pre_build: Option<PhaseSection>,
    build: Option<PhaseSection>,
    post_build: Option<PhaseSection>,
}

/// One of `phases`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PhaseSection {
    pub(crate) commands: Vec<Text>,
    pub(crate) finally: Vec<Text>,
    pub(crate) on_failure: Option<OnFailure>,
    pub(crate) run_as: Option<String>,
    pub(crate) runtime_versions: BTreeMap<String, Text>,
}

/// What follows where a phase fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum OnFailure {
    Abort,
    Continue,
}

/// `artifacts` and each of its `secondary-artifacts`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct ArtifactsSection {
    pub(crate) files: Vec<Text>,
    pub(crate) name: Option<Text>,
    pub(crate) discard_paths: Flag,
    pub(crate) base_directory: Option<Text>,
    pub(crate) exclude_paths: Vec<Text>,
    pub(crate) secondary_artifacts: IndexMap<String, ArtifactsSection>,
}

/// `cache`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct CacheSection {
    pub(crate) paths: Vec<Text>,
    pub(crate) key: Option<Text>,
}

/// One of `reports`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct ReportSection {
    pub(crate) files: Vec<Text>,
    pub(crate) base_directory: Option<Text>,
    pub(crate) file_format: Option<String>,
}

impl Buildspec {
    /// Reads a buildspec.
    ///
    /// # Errors
    /// What is wrong, with the line where the parser knows it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut spec: Self = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        if spec.version.0 != "0.2" {
            return Err(match spec.version.0.as_str() {
                "" => "the buildspec has no version; write version: 0.2".to_owned(),
                other => format!("buildspec version {other} is not supported here; write version: 0.2"),
            });
        }
        if let Some(shell) = spec.env.shell.as_deref()
            && spec.shell_is_posix().is_none()
        {
            return Err(format!("env/shell {shell} is not supported here; use bash or sh"));
        }
        spec.notes = notes(text, &spec);
        Ok(spec)
    }

    /// The section of a phase that runs commands.
    pub(crate) fn phase(&self, phase: PhaseType) -> Option<&PhaseSection> {
        match phase {
            PhaseType::Install => self.phases.install.as_ref(),
            PhaseType::PreBuild => self.phases.pre_build.as_ref(),
            PhaseType::Build => self.phases.build.as_ref(),
            PhaseType::PostBuild => self.phases.post_build.as_ref(),
            _ => None,
        }
    }

    /// Whether commands run as in `sh`, AWS's default: `bash` in POSIX mode, which is what `sh` is on
    /// Amazon Linux. `None` for a shell that is neither.
    pub(crate) fn shell_is_posix(&self) -> Option<bool> {
        match self.env.shell.as_deref() {
            None | Some("sh" | "/bin/sh") => Some(true),
            Some("bash" | "/bin/bash") => Some(false),
            Some(_) => None,
        }
    }
}

/// What has no effect here.
fn notes(text: &str, spec: &Buildspec) -> Vec<String> {
    const KNOWN: [&str; 6] = ["version", "env", "phases", "artifacts", "cache", "reports"];
    let mut notes = Vec::new();
    if let Ok(Value::Mapping(top)) = serde_yaml_ng::from_str::<Value>(text) {
        for key in top
            .keys()
            .filter_map(Value::as_str)
            .filter(|key| !KNOWN.contains(key))
        {
            notes.push(format!(
                "The buildspec's section {key} has no effect in the local cloud"
            ));
        }
    }
    for phase in [
        PhaseType::Install,
        PhaseType::PreBuild,
        PhaseType::Build,
        PhaseType::PostBuild,
    ] {
        if let Some(user) = spec.phase(phase).and_then(|section| section.run_as.as_deref()) {
            let phase = phase.name();
            notes.push(format!(
                "run-as {user} in {phase} has no effect in the local cloud: commands run as you"
            ));
        }
    }
    if spec.cache.key.is_some() {
        notes.push("cache/key has no effect in the local cloud: each project has one cache".to_owned());
    }
    notes
}

/// Text, however YAML reads it: `8`, `true` and `0.2` are text here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Text, A::Error> {
                Err(Error::custom(
                    "expected text, found subkeys instead (text with \": \" in it needs quotes)",
                ))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Text, A::Error> {
                Err(Error::custom("expected text, found a list instead"))
            }
        }
        input.deserialize_any(Visit)
    }
}

/// `yes` and `no`, which YAML 1.2 reads as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match Text::deserialize(input)?.0.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" => Ok(Self(true)),
            "no" | "false" | "off" => Ok(Self(false)),
            other => Err(Error::custom(format!("expected yes or no, found {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_everything_that_a_buildspec_may_say() {
        let spec = Buildspec::parse(
            "version: 0.2\nenv:\n  variables: {A: 1, B: true}\n  secrets-manager: {S: 'x:y'}\n  exported-variables: [A]\n\
             phases:\n  install:\n    runtime-versions: {nodejs: 20}\n    commands: [a]\n  build:\n    on-failure: CONTINUE\n    commands:\n      - |\n        one\n        two\n      - true\n    finally: [z]\n\
             artifacts:\n  files: ['**/*']\n  discard-paths: yes\n  secondary-artifacts:\n    other: {files: [x]}\n\
             cache: {paths: ['node_modules/**/*']}\nreports:\n  unit: {files: [r.xml], file-format: JUNITXML}\n",
        )
        .unwrap();
        assert_eq!(spec.env.variables["B"], Text("true".into()));
        let build = spec.phase(PhaseType::Build).unwrap();
        assert_eq!(build.on_failure, Some(OnFailure::Continue));
        assert_eq!(build.commands, [Text("one\ntwo\n".into()), Text("true".into())]);
        let artifacts = spec.artifacts.unwrap();
        assert!(artifacts.discard_paths.0);
        assert_eq!(artifacts.secondary_artifacts["other"].files, [Text("x".into())]);
        assert!(spec.notes.is_empty());
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let error = Buildspec::parse("version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b\n");
        let error = error.unwrap_err();
        assert!(error.contains("subkeys") && error.contains("line 5"), "{error}");
        assert!(
            Buildspec::parse("phases: {}")
                .unwrap_err()
                .contains("version: 0.2")
        );
        assert!(Buildspec::parse("version: 0.1").unwrap_err().contains("0.1"));
        assert!(
            Buildspec::parse("version: 0.2\nphases: {bild: {}}")
                .unwrap_err()
                .contains("bild")
        );
        assert!(
            Buildspec::parse("version: 0.2\nenv: {shell: zsh}")
                .unwrap_err()
                .contains("zsh")
        );
        let retry = "version: 0.2\nphases: {build: {on-failure: RETRY-3}}";
        assert!(Buildspec::parse(retry).unwrap_err().contains("RETRY-3"));
    }

    #[test]
    fn what_has_no_effect_is_noted() {
        let text = "version: 0.2\nbatch: {}\nphases: {build: {run-as: root}}\ncache: {key: k}";
        assert_eq!(Buildspec::parse(text).unwrap().notes.len(), 3);
    }
}

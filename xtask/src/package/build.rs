//! Builds that give the same bytes on every machine: no path, no build's number, nobody's own flags.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a build needs to know of this machine.
#[derive(Debug)]
pub(super) struct Build {
    project: PathBuf,
    /// Where cargo writes to, and what is packaged.
    pub(super) output: PathBuf,
    /// The triple to build for.
    pub(super) target: String,
    /// rustc's flags, in place of those that the environment or somebody's configuration has.
    flags: String,
    /// The variable that names the linker, and the linker.
    linker: Option<(String, PathBuf)>,
}

impl Build {
    /// Looks at what is installed, before anything takes long.
    pub(super) fn prepare(project: &Path, output: &Path, target: Option<&str>) -> Result<Self, String> {
        let host = rustc(&["--print", "host-tuple"])?;
        let target = target.unwrap_or(&host).to_owned();
        require_target(&target)?;
        Ok(Self {
            flags: flags(project, output)?,
            linker: linker(&host, &target)?,
            project: project.to_owned(),
            output: output.to_owned(),
            target,
        })
    }

    /// Builds one function for release; answers its binary.
    pub(super) fn function(&self, name: &str) -> Result<Vec<u8>, String> {
        let mut cargo = cargo();
        // One package at a time: features are then resolved for it alone, and it carries no other's.
        cargo
            .args(["build", "--release", "--locked", "--package", name])
            .args(["--target", &self.target])
            .current_dir(&self.project)
            .env("CARGO_TARGET_DIR", &self.output)
            .env("CARGO_ENCODED_RUSTFLAGS", &self.flags);
        if let Some((variable, linker)) = &self.linker {
            cargo.env(variable, linker);
        }
        let status = cargo
            .status()
            .map_err(|error| format!("cargo cannot be run: {error}"))?;
        if !status.success() {
            return Err(format!(
                "{name} could not be built; cargo's own messages are above"
            ));
        }
        let built = self.output.join(&self.target).join("release").join(name);
        std::fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))
    }
}

/// The cargo that runs us.
pub(super) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What rustc says, without the line's end.
fn rustc(arguments: &[&str]) -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(arguments)
        .output()
        .map_err(|error| format!("rustc cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said
            .lines()
            .next()
            .unwrap_or("rustc fails")
            .trim_start_matches("error: ")
            .to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn require_target(target: &str) -> Result<(), String> {
    let library = rustc(&["--print", "target-libdir", "--target", target])?;
    if Path::new(&library).is_dir() {
        return Ok(());
    }
    Err(format!(
        "the Rust target {target} is not installed: `rustup target add {target}`"
    ))
}

/// Panics name source files, and those have the checkout's path, cargo's home, or the toolchain's: each gets
/// a name that every machine shares. Where several prefixes fit, the last one counts.
fn flags(project: &Path, output: &Path) -> Result<String, String> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")))
        .ok_or("neither CARGO_HOME nor HOME is set")?;
    let library = Path::new(&rustc(&["--print", "sysroot"])?).join("lib/rustlib/src/rust");
    let shared = [
        (library.as_path(), "/rustc"),
        (home.as_path(), "/cargo"),
        (project, "/signalbox"),
        (output, "/signalbox/target"),
    ];
    let mut flags: Vec<String> = shared
        .iter()
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()))
        .collect();
    // Some linkers number what they make.
    flags.push("-Clink-arg=-Wl,--build-id=none".to_owned());
    Ok(flags.join("\x1f"))
}

/// cargo takes `cc` for every target, which links for this machine only.
fn linker(host: &str, target: &str) -> Result<Option<(String, PathBuf)>, String> {
    let variable = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    if target == host || std::env::var_os(&variable).is_some() {
        return Ok(None);
    }
    let name = format!("{}-gcc", target.replace("-unknown-", "-"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(&name))
        .find(|file| file.is_file());
    let Some(file) = found else {
        return Err(format!(
            "no linker for {target}: install {name} (Debian: `apt-get install gcc-{}`), or name one in {variable}",
            name.trim_end_matches("-gcc").replace('_', "-")
        ));
    };
    Ok(Some((variable, file)))
}

#[cfg(test)]
mod tests {
    use super::super::sha256;
    use super::*;

    #[test]
    fn a_target_that_is_not_installed_is_said_in_one_line_with_the_fix() {
        let error = require_target("s390x-unknown-linux-gnu").unwrap_err();
        assert!(
            error.ends_with("`rustup target add s390x-unknown-linux-gnu`"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
        let error = require_target("no-such-machine").unwrap_err();
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    /// A function as ours are, small: it names its sources and those of another crate, and what its build made.
    fn checkout(directory: &Path) -> PathBuf {
        let project = directory.join("signalbox");
        let write = |name: &str, text: &str| {
            let file = project.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let manifest = include_str!("../../../Cargo.toml");
        let (_, profile) = manifest.split_once("[profile.release]").unwrap();
        let profile = profile.split("\n[").next().unwrap();
        write(
            "Cargo.toml",
            &format!(
                "[workspace]\nresolver = \"3\"\nmembers = [\"probe\", \"other\"]\n[profile.release]{profile}"
            ),
        );
        let package =
            |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
        write("other/Cargo.toml", &package("other"));
        write("other/src/lib.rs", "pub fn first(all: &[u8]) -> u8 { all[0] }");
        write(
            "probe/Cargo.toml",
            &(package("probe") + "[dependencies]\nother = { path = \"../other\" }\n"),
        );
        write(
            "probe/build.rs",
            "fn main() {
                let out = std::env::var(\"OUT_DIR\").unwrap();
                std::fs::write(out + \"/made.rs\", \"pub fn made(all: &[u8]) -> u8 { all[1] }\").unwrap();
            }",
        );
        write(
            "probe/src/main.rs",
            "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));
            fn main() {
                let all: Vec<u8> = std::env::args().map(|one| u8::try_from(one.len()).unwrap()).collect();
                println!(\"{} {} {}\", file!(), other::first(&all), made(&all));
            }",
        );
        let made = cargo()
            .args(["generate-lockfile", "--offline"])
            .current_dir(&project)
            .status();
        assert!(made.unwrap().success());
        project
    }

    #[test]
    fn two_checkouts_give_the_same_bytes() {
        let binaries = ["a", "somewhere/else/entirely"].map(|place| {
            let directory = tempfile::tempdir().unwrap();
            let project = checkout(&directory.path().join(place));
            let output = directory.path().join("built");
            let binary = Build::prepare(&project, &output, None)
                .unwrap()
                .function("probe")
                .unwrap();
            let path = directory.path().as_os_str().as_encoded_bytes();
            let names_it = binary.windows(path.len()).any(|bytes| bytes == path);
            assert!(!names_it, "the binary names {}", directory.path().display());
            binary
        });
        let [one, other] = binaries.map(|binary| sha256(&binary));
        assert_eq!(one, other);
    }

    #[test]
    fn a_missing_linker_is_said_in_one_line_with_the_fix() {
        let error = linker("x86_64-unknown-linux-gnu", "s390x-unknown-linux-gnu").unwrap_err();
        assert!(error.contains("apt-get install gcc-s390x-linux-gnu"), "{error}");
        let none = linker("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-gnu").unwrap();
        assert!(none.is_none());
    }
}

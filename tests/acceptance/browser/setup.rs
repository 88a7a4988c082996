//! The browser that the trials drive, and the rules of accessibility that they ask.
//!
//! A Chromium of the machine's own is taken where there is one. Else it comes in an npm package that holds
//! the program itself, so that a machine with Rust, Python and Node.js alone passes the tests, without root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha512};
use signalbox_local::tools::Tools;
use tokio::process::Command;

/// Names that Chromium has on a `PATH`, the likeliest first.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// What to do where there is none.
const FIX: &str = "install Chromium (Debian, Ubuntu: `sudo apt-get install -y chromium`), or name one in SIGNALBOX_CHROMIUM";

/// A package of npm's: what it is, to the byte.
struct Package {
    name: &'static str,
    version: &'static str,
    /// `dist.integrity` of the registry, SHA-512 in base64.
    integrity: &'static str,
}

/// Chromium's headless shell with the libraries and a font that it needs, for Linux on x86-64.
const CHROMIUM: Package = Package {
    name: "@sparticuz/chromium",
    version: "147.0.0",
    integrity: "4ZKeAQQa8up2mt675qSitztLdbQrlf8BKdC5naeap+5Mv1OV1OlJdPoU+EJC/p5sQUJUQmN4r+q5+EhaaOUHpQ==",
};

/// Deque's rules, which most of the field's tools ask.
const AXE: Package = Package {
    name: "axe-core",
    version: "4.14.1",
    integrity: "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
};

/// Unpacks what `@sparticuz/chromium` holds: Node.js has Brotli, and nothing else of the machine's must.
const INFLATE: &str = "
const { createReadStream, createWriteStream } = require('node:fs');
const { pipeline } = require('node:stream/promises');
const { createBrotliDecompress } = require('node:zlib');
const [from, to] = process.argv.slice(1);
Promise.all(['chromium', 'al2023.tar', 'fonts.tar'].map(name =>
  pipeline(createReadStream(`${from}/${name}.br`), createBrotliDecompress(), createWriteStream(`${to}/${name}`, { mode: 0o755 }))));
";

/// The package's own names places of Lambda's. A profile is its browser's home, and with it its cache.
const FONTS: &str = r#"<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir>~/.fontconfig</cachedir>
</fontconfig>
"#;

/// A program to start, and what its environment needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// Folders of libraries and fonts, where the machine may have none.
    pub(crate) libraries: Option<PathBuf>,
}

/// Where the machine has a Chromium: `named` is `SIGNALBOX_CHROMIUM`, `path` is `PATH`.
///
/// # Errors
/// One is named that is not there.
pub(crate) fn installed(named: Option<&str>, path: &str) -> Result<Option<Program>, String> {
    let program = |path| Program {
        path,
        libraries: None,
    };
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return if Path::new(named).is_file() {
            Ok(Some(program(named.into())))
        } else {
            Err(format!(
                "SIGNALBOX_CHROMIUM names {named}, which is no file: {FIX}"
            ))
        };
    }
    let folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    let candidates = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    Ok(candidates.into_iter().find(|path| path.is_file()).map(program))
}

/// The machine's Chromium, or the packaged one, fetched once into `home`.
///
/// # Errors
/// In one line, what to install.
pub(crate) async fn chromium(home: &Path, tools: &Tools) -> Result<Program, String> {
    let named = std::env::var("SIGNALBOX_CHROMIUM").ok();
    let path = std::env::var("PATH").unwrap_or_default();
    match installed(named.as_deref(), &path)? {
        Some(found) => Ok(found),
        None => packaged(home, tools).await,
    }
}

/// The packaged Chromium.
///
/// # Errors
/// As [`chromium`].
async fn packaged(home: &Path, tools: &Tools) -> Result<Program, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(format!("no Chromium is on the PATH: {FIX}"));
    }
    let made = fetch(&CHROMIUM, home, tools, async |folder| {
        let node = tools.node.to_str().unwrap_or("node");
        let (from, to) = (folder.join("package/bin"), folder.join("chromium"));
        fs::create_dir_all(&to).map_err(|error| error.to_string())?;
        run(&to, node, &["-e", INFLATE, &text(&from), &text(&to)]).await?;
        for archive in ["al2023.tar", "fonts.tar"] {
            unpack(tools, &to.join(archive), &to).await?;
            fs::remove_file(to.join(archive)).map_err(|error| error.to_string())?;
        }
        fs::write(to.join("fonts.conf"), FONTS).map_err(|error| error.to_string())?;
        fs::remove_dir_all(folder.join("package")).map_err(|error| error.to_string())
    });
    let folder = made
        .await
        .map_err(|why| format!("no Chromium is on the PATH: {FIX}. The packaged one: {why}"))?;
    Ok(Program {
        path: folder.join("chromium/chromium"),
        libraries: Some(folder.join("chromium")),
    })
}

/// The rules' script.
///
/// # Errors
/// npm cannot fetch it.
pub(crate) async fn axe(home: &Path, tools: &Tools) -> Result<String, String> {
    let folder = fetch(&AXE, home, tools, async |_| Ok(())).await?;
    fs::read_to_string(folder.join("package/axe.min.js")).map_err(|error| error.to_string())
}

/// A package's folder, which is made once: whole or not at all, by one process while others wait.
async fn fetch(
    package: &Package,
    home: &Path,
    tools: &Tools,
    finish: impl AsyncFnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let Package {
        name,
        version,
        integrity,
    } = package;
    let failed = |error: std::io::Error| format!("{}: {error}", home.display());
    let folder = home.join(format!(
        "{}-{version}",
        name.trim_start_matches('@').replace('/', "-")
    ));
    fs::create_dir_all(home).map_err(failed)?;
    let lock = File::create(folder.with_added_extension("lock")).map_err(failed)?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    let _lock = lock.await.map_err(|error| error.to_string())?.map_err(failed)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let part = tempfile::tempdir_in(home).map_err(failed)?;
    let npm = text(&tools.npm);
    run(
        part.path(),
        &npm,
        &["pack", "--silent", &format!("{name}@{version}")],
    )
    .await?;
    let archive = fs::read_dir(part.path())
        .map_err(failed)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or("npm packed nothing")?;
    let digest = STANDARD.encode(Sha512::digest(fs::read(&archive).map_err(failed)?));
    if digest != *integrity {
        return Err(format!(
            "{name}@{version} is not what it was: its SHA-512 is {digest}"
        ));
    }
    unpack(tools, &archive, part.path()).await?;
    fs::remove_file(&archive).map_err(failed)?;
    finish(part.path()).await?;
    fs::rename(part.keep(), &folder).map_err(failed)?;
    Ok(folder)
}

async fn unpack(tools: &Tools, archive: &Path, to: &Path) -> Result<(), String> {
    let arguments = ["-m", "tarfile", "-e", &text(archive), &text(to)];
    run(to, &text(&tools.python), &arguments).await
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

async fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    let command = command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let done = command
        .output()
        .await
        .map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let said: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let last = said.iter().rev().take(3).rev().copied().collect::<Vec<_>>();
    Err(format!("{program} failed: {}", last.join(" | ")))
}

//! Unpacking a source without letting it write elsewhere.

use std::fs::{self, File};
use std::io::{Cursor, Read, copy};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use zip::ZipArchive;

/// Entries of a source, at most.
const MAX_ENTRIES: usize = 100_000;

/// Bytes of a source once unpacked, at most: twenty times the largest package that is accepted.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// Unpacks a zip into `into`, an existing directory.
///
/// # Errors
/// What is wrong with the zip: it is none; it is too large; an entry leads out of the directory or is
/// a link. Nothing is written outside `into` in any case; what was unpacked before stays.
pub(crate) fn unpack(bytes: &[u8], into: &Path) -> Result<(), String> {
    let mut zip =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("not a readable zip: {error}"))?;
    if zip.len() > MAX_ENTRIES {
        return Err(format!("{} entries, more than {MAX_ENTRIES}", zip.len()));
    }
    let mut left = MAX_BYTES;
    for index in 0..zip.len() {
        let mut entry = zip
            .by_index(index)
            .map_err(|error| format!("entry {index}: {error}"))?;
        let name = entry
            .name()
            .map_err(|error| format!("entry {index}: {error}"))?
            .into_owned();
        let path = Path::new(&name);
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || name.contains('\\') || name.contains('\0') {
            return Err(format!("entry {name:?} leads out of the source's directory"));
        }
        if entry.is_symlink() {
            return Err(format!(
                "entry {name:?} is a symbolic link; pack the file that it names"
            ));
        }
        let target = into.join(path);
        let failed = |error: std::io::Error| format!("entry {name:?}: {error}");
        if entry.is_dir() {
            fs::create_dir_all(&target).map_err(failed)?;
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mode = entry.unix_mode().unwrap_or(0o644);
        // The size that the entry declares may lie, so what really comes out is counted.
        let mut file = File::create(&target).map_err(failed)?;
        let written = copy(&mut entry.by_ref().take(left.saturating_add(1)), &mut file).map_err(failed)?;
        left = left
            .checked_sub(written)
            .ok_or_else(|| format!("more than {MAX_BYTES} bytes once unpacked"))?;
        let mode = 0o600 | (mode & 0o755);
        fs::set_permissions(&target, fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip_of(names: &[&str]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, SimpleFileOptions::default().unix_permissions(0o755))
                .unwrap();
            zip.write_all(b"x").unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn unpacks_files_with_their_execute_bits() {
        let dir = tempfile::tempdir().unwrap();
        unpack(&zip_of(&["a/b.sh", "./c"]), dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join("a/b.sh"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755);
        assert!(dir.path().join("c").exists());
    }

    #[test]
    fn refuses_what_leads_out_and_writes_nothing_there() {
        for name in ["../evil", "a/../../evil", "/tmp/evil-source", "..\\evil"] {
            let outer = tempfile::tempdir().unwrap();
            let dir = outer.path().join("src");
            fs::create_dir(&dir).unwrap();
            let error = unpack(&zip_of(&["ok", name]), &dir).unwrap_err();
            assert!(error.contains("leads out"), "{name}: {error}");
            assert!(!outer.path().join("evil").exists());
        }
    }

    #[test]
    fn refuses_links_and_what_is_no_zip() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.add_symlink("link", "/etc/passwd", SimpleFileOptions::default())
            .unwrap();
        let bytes = zip.finish().unwrap().into_inner();
        let dir = tempfile::tempdir().unwrap();
        assert!(unpack(&bytes, dir.path()).unwrap_err().contains("symbolic link"));
        assert!(
            unpack(b"hello", dir.path())
                .unwrap_err()
                .contains("not a readable zip")
        );
        assert!(unpack(b"", dir.path()).is_err());
    }
}

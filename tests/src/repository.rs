//! The repository as files: where it is, what lies in it, what a file says.

#![expect(clippy::expect_used, reason = "a checkout that cannot be read fails the test that reads it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Directories that hold what was made, not what was written.
const MADE: &[&str] = &["target", ".git", "node_modules", "corpus", "artifacts", "coverage"];

/// The top of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies inside the checkout")
}

/// The files below a directory whose names end in one of `endings`, sorted, relative to the top.
pub fn files(directory: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the directory can be listed") {
            let path = entry.expect("the directory can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !MADE.contains(&name.as_str()) {
                open.push(path);
            } else if path.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root()).expect("it lies below the top").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file, by its path from the top.
///
/// # Panics
/// With the path, when there is no such file, or it is not UTF-8.
pub fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| unreadable(path, &error))
}

#[expect(clippy::panic, reason = "the caller is a test, and needs the name of the file")]
fn unreadable(path: &Path, error: &std::io::Error) -> String {
    panic!("{}: {error}", path.display())
}

//! One process at a time: a lock file beside the store, held as long as the store is open.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{StoreError, StoreErrorKind};

/// The lock; the operating system lets go of it when the process ends, however it ends.
pub(super) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock of the store at `path`, creating the folder above it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                format!("cannot open the store at {}: {error}", path.display()),
            )
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
            // The new folder's own entry has to outlive a power cut too.
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let lock_path = lock_path(path);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let mut file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let detail = format!("the store at {} is locked by pid {}", path.display(), owner.trim());
                return Err(StoreError::new(StoreErrorKind::Locked, detail));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        write_owner(&mut file).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn write_owner(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())?;
    file.flush()
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

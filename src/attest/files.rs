//! The files of a transparency log: tiles, entry bundles, and a copy of the checkpoint, under the paths that they are served by.
//!
//! A tile is written under another name and renamed, so that no reader sees a half. It outlives a crash after
//! [`TileFiles::sync`], which comes before the checkpoint that speaks for it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::AttestError;
use super::steps;
use crate::durable::Failpoints;
use crate::evidence::tile::decode_hashes;
use crate::evidence::{EvidenceError, MerkleHash, TileId, TileKind, bundle};
use crate::private;

/// The copy of the checkpoint that is shown.
const CHECKPOINT: &str = "checkpoint";

/// The folder of a transparency log. A clone reads and writes the same one.
#[derive(Debug, Clone)]
pub struct TileFiles {
    dir: PathBuf,
    failpoints: Failpoints,
    /// The files that were written since the last sync.
    unsynced: BTreeSet<PathBuf>,
}

impl TileFiles {
    /// The log in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, failpoints: Failpoints) -> Self {
        Self {
            dir,
            failpoints,
            unsynced: BTreeSet::new(),
        }
    }

    /// Writes a tile, unless it is there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, tile: TileId, bytes: &[u8]) -> Result<(), AttestError> {
        let path = self.dir.join(tile.to_string());
        self.unsynced.insert(path.clone());
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        self.failpoints.run(steps::WRITE_TILE, || {
            let folder = path.parent().unwrap_or(&self.dir);
            private::make_dir(folder).map_err(AttestError::of(folder))?;
            private::swap_file(&path, bytes).map_err(AttestError::of(&path))
        })
    }

    /// Makes everything that was written outlive a crash.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&mut self) -> Result<(), AttestError> {
        self.failpoints.run(steps::SYNC_TILES, || {
            let mut folders = BTreeSet::new();
            for path in &self.unsynced {
                let synced = File::open(path).and_then(|file| file.sync_all());
                synced.map_err(AttestError::of(path))?;
                let above = path.ancestors().skip(1);
                folders.extend(above.take_while(|folder| folder.starts_with(&self.dir)));
            }
            for folder in folders {
                private::sync_dir(folder).map_err(AttestError::of(folder))?;
            }
            Ok::<_, AttestError>(())
        })?;
        self.unsynced.clear();
        Ok(())
    }

    /// The bytes of a tile; `None` when there is none. A partial one is also the beginning of a wider one.
    ///
    /// # Errors
    /// What the file system says, and when a file does not have its form.
    pub fn read(&self, tile: TileId) -> Result<Option<Vec<u8>>, AttestError> {
        let mut candidates = vec![tile];
        if !tile.is_full() {
            candidates.push(TileId::full(tile.kind, tile.index));
            candidates.extend(self.wider(tile));
        }
        for candidate in candidates {
            let path = self.dir.join(candidate.to_string());
            match fs::read(&path) {
                Ok(bytes) => return Ok(Some(beginning(tile, bytes)?)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(AttestError::of(&path)(error)),
            }
        }
        Ok(None)
    }

    /// The hashes of a tile.
    ///
    /// # Errors
    /// As [`TileFiles::read`], and when there is none.
    pub fn hashes(&self, tile: TileId) -> Result<Vec<MerkleHash>, AttestError> {
        let hashes = self.read(tile)?.as_deref().and_then(decode_hashes);
        hashes.ok_or_else(|| missing(tile))
    }

    /// The partial tiles at a tile's place that are wider than it.
    fn wider(&self, tile: TileId) -> Vec<TileId> {
        let Ok(files) = fs::read_dir(self.partial_dir(tile)) else {
            return Vec::new();
        };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let mut wider: Vec<_> = names
            .filter_map(|name| TileId::parse(&format!("{}.p/{name}", tile.full_path())))
            .filter(|other| other.width > tile.width)
            .collect();
        wider.sort_unstable();
        wider
    }

    /// Removes the partial tiles at the place of a full one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove_partial(&self, tile: TileId) -> Result<(), AttestError> {
        let dir = self.partial_dir(tile);
        self.failpoints
            .run(steps::REMOVE_PARTIAL, || match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(AttestError::of(&dir)(error))
                }
                _ => Ok(()),
            })
    }

    fn partial_dir(&self, tile: TileId) -> PathBuf {
        self.dir.join(format!("{}.p", tile.full_path()))
    }

    /// Copies the checkpoint that is shown beside the tiles.
    ///
    /// # Errors
    /// What the file system says.
    pub fn copy_checkpoint(&self, note: &str) -> Result<(), AttestError> {
        let path = self.dir.join(CHECKPOINT);
        self.failpoints.run(steps::COPY_CHECKPOINT, || {
            let copied = private::make_dir(&self.dir)
                .and_then(|()| private::swap_file(&path, note.as_bytes()))
                .and_then(|()| File::open(&path)?.sync_all())
                .and_then(|()| private::sync_dir(&self.dir));
            copied.map_err(AttestError::of(&path))
        })
    }

    /// The copy of the checkpoint; `None` when there is none.
    ///
    /// # Errors
    /// What the file system says.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, AttestError> {
        let path = self.dir.join(CHECKPOINT);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AttestError::of(&path)(error)),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The bytes of `tile` in those of a wider one at its place.
fn beginning(tile: TileId, mut bytes: Vec<u8>) -> Result<Vec<u8>, AttestError> {
    let width = usize::from(tile.width);
    let length = match tile.kind {
        TileKind::Entries => bundle::first_entries(&bytes, width)?.len(),
        TileKind::Hashes(_) => width * size_of::<MerkleHash>(),
    };
    if bytes.len() < length {
        return Err(missing(tile));
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// A tile of a shown checkpoint cannot be read.
pub(super) fn missing(tile: TileId) -> AttestError {
    EvidenceError::Malformed(format!("the file of `{tile}` is missing or cut off")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tile::encode_hashes;

    #[test]
    fn a_partial_tile_is_served_from_every_wider_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = TileFiles::new(dir.path().join("log"), Failpoints::default());
        let hashes: Vec<_> = (0..=255u8).map(|n| MerkleHash::of_leaf(&[n])).collect();
        let tile = |kind, width| TileId {
            kind,
            index: 1_234,
            width,
        };
        let level = TileKind::Hashes(0);
        assert_eq!(files.read(tile(level, 3)).unwrap(), None);
        for width in [9, 200] {
            files
                .write(
                    tile(level, width),
                    &encode_hashes(&hashes[..usize::from(width)]),
                )
                .unwrap();
        }
        let expect = |files: &TileFiles, width: u16| {
            let found = files.hashes(tile(level, width)).unwrap();
            assert_eq!(found, hashes[..usize::from(width)], "{width}");
        };
        for width in [1, 9, 10, 200] {
            expect(&files, width);
        }
        assert!(files.hashes(tile(level, 201)).is_err());
        files
            .write(TileId::full(level, 1_234), &encode_hashes(&hashes))
            .unwrap();
        files.sync().unwrap();
        files.remove_partial(tile(level, 200)).unwrap();
        for width in [1, 9, 201, 256] {
            expect(&files, width);
        }
        let entries = TileKind::Entries;
        let mut bundle = Vec::new();
        for entry in ["a", "bc", "def"] {
            bundle::push_entry(&mut bundle, entry.as_bytes()).unwrap();
        }
        files.write(tile(entries, 3), &bundle).unwrap();
        let first = files.read(tile(entries, 2)).unwrap().unwrap();
        assert_eq!(bundle::entries(&first).unwrap(), [&b"a"[..], b"bc"]);
    }
}

//! The secret of a running service. Only the owner of the data directory can read it; with it, every request is allowed.
//!
//! It is a file in the data directory that only its owner can read, made anew at each start. It does not know how the secret
//! travels.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::private;

/// The secret's file in the data directory.
const FILE_NAME: &str = "orgtrail.secret";

/// The header in which a command that sends the secret names its user of the system.
pub const USER_HEADER: &str = "orgtrail-user";

/// The most characters of the name of a user.
const MAX_USER_LEN: usize = 64;

/// The most bytes that are read of the file: a secret has fewer.
const MAX_SECRET_BYTES: u64 = 128;

/// The principal of commands, as the access log names it: `system:NAME`. It is `system` without a name that can be one.
#[must_use]
pub fn system_principal(user: Option<&str>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@+\\$".contains(c);
    let is_name =
        |name: &&str| !name.is_empty() && name.len() <= MAX_USER_LEN && name.chars().all(is_plain);
    user.filter(is_name)
        .map_or("system".to_owned(), |name| format!("system:{name}"))
}

/// The name of the user of the system who runs this process.
#[must_use]
pub fn system_user() -> Option<String> {
    #[cfg(unix)]
    let user = nix::unistd::User::from_uid(nix::unistd::getuid())
        .ok()
        .flatten()
        .map(|user| user.name);
    #[cfg(not(unix))]
    let user = std::env::var("USERNAME").ok();
    user
}

/// The secret of one run of a service. `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct OwnerSecret(SecretString);

impl OwnerSecret {
    /// A new one: 244 random bits.
    #[must_use]
    pub fn random() -> Self {
        let [first, second] = [Uuid::new_v4(), Uuid::new_v4()];
        Self(format!("{}{}", first.simple(), second.simple()).into())
    }

    /// The secret of the service that uses a data directory; `None` when no service uses it, or the file belongs to another user.
    #[must_use]
    pub fn read(dir: &Path) -> Option<Self> {
        let file = File::open(dir.join(FILE_NAME)).ok()?;
        let mut text = String::new();
        file.take(MAX_SECRET_BYTES).read_to_string(&mut text).ok()?;
        let text = text.trim_end();
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Saves it in a data directory, in place of an earlier one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        private::replace_file(&dir.join(FILE_NAME), self.0.expose_secret().as_bytes())
    }

    /// Removes the secret from a data directory: it is of no use any more.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(dir: &Path) -> io::Result<()> {
        fs::remove_file(dir.join(FILE_NAME))
    }

    /// Whether a text is this secret. How long it takes tells nothing about the secret: hashes are compared.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        Sha256::digest(text) == Sha256::digest(self.0.expose_secret())
    }

    /// The secret itself, to be sent.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_user_is_checked() {
        assert_eq!(system_principal(Some("alice")), "system:alice");
        assert_eq!(system_principal(Some("www-data")), "system:www-data");
        let long = "a".repeat(MAX_USER_LEN + 1);
        for wrong in [
            None,
            Some(""),
            Some("a b"),
            Some("a\nb"),
            Some("é"),
            Some(&long),
        ] {
            assert_eq!(system_principal(wrong), "system", "{wrong:?}");
        }
    }

    #[test]
    fn a_saved_secret_is_the_owners_alone_and_new_each_time() {
        let dir = tempfile::tempdir().unwrap();
        assert!(OwnerSecret::read(dir.path()).is_none());
        // A file that another user may have prepared to read the next secret.
        fs::write(dir.path().join(FILE_NAME), "").unwrap();
        assert!(OwnerSecret::read(dir.path()).is_none());
        let (first, second) = (OwnerSecret::random(), OwnerSecret::random());
        first.save(dir.path()).unwrap();
        second.save(dir.path()).unwrap();
        let read = OwnerSecret::read(dir.path()).unwrap();
        assert!(second.is(read.expose()) && !first.is(read.expose()));
        assert!(!second.is("") && !format!("{second:?}").contains(second.expose()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join(FILE_NAME))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        OwnerSecret::remove(dir.path()).unwrap();
        assert!(OwnerSecret::read(dir.path()).is_none());
    }
}

//! Where a data folder is: on this machine, or in an object store.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Short: a commit to a local folder costs two syncs, and what is not committed is read again.
const COMMIT_INTERVAL_FOLDER: Duration = Duration::from_secs(5);

/// Longer: each partition's entry is a put, and a put costs money.
const COMMIT_INTERVAL_REMOTE: Duration = Duration::from_secs(15);

/// A data folder's place, of a kind that this version can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataLocation {
    Folder(PathBuf),
    /// `s3://bucket/prefix`, `az://container/prefix` or one of their other spellings.
    Url(String),
}

impl DataLocation {
    /// How often a partition commits unless the configuration says otherwise.
    pub const fn commit_interval(&self) -> Duration {
        match self {
            Self::Folder(_) => COMMIT_INTERVAL_FOLDER,
            Self::Url(_) => COMMIT_INTERVAL_REMOTE,
        }
    }
}

impl FromStr for DataLocation {
    type Err = String;

    /// The error is a clause that follows the key, as in `store.data` `is empty; …`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty; name a folder".to_owned());
        }
        if store::is_remote(text) {
            store::check_remote_url(text).map_err(|what| format!("is {text}: {what}"))?;
            return Ok(Self::Url(text.to_owned()));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let known = store::REMOTE_SCHEMES.join(", ");
            return Err(format!(
                "begins with {scheme}://, which is not supported; name a folder, or begin with one \
                 of {known}"
            ));
        }
        Ok(Self::Folder(PathBuf::from(text)))
    }
}

impl fmt::Display for DataLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(formatter),
            Self::Url(url) => url.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_url_are_told_apart_and_a_strange_url_is_refused() {
        let folder = DataLocation::Folder(PathBuf::from("./data"));
        assert_eq!("./data".parse(), Ok(folder));
        for url in ["s3://b/x", "az://c/x"] {
            assert_eq!(url.parse(), Ok(DataLocation::Url(url.to_owned())));
        }
        let refused = "gs://b/x".parse::<DataLocation>().expect_err("unknown");
        assert!(refused.contains("gs://") && refused.contains("s3://, az://"), "{refused}");
        for nowhere in ["", "s3://", "s3://b/a//x"] {
            assert!(nowhere.parse::<DataLocation>().is_err(), "{nowhere}");
        }
    }
}

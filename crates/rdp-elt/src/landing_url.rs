//! What a landing's URL means, for whoever writes there and whoever reads.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Where a landing is. Nothing is asked of any file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandingUrl {
    folder: PathBuf,
}

impl LandingUrl {
    /// The folder that it means.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl FromStr for LandingUrl {
    type Err = Error;

    /// Reads a path, or a `file:` URL.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where the URL is another store's; [`Config`](ErrorKind::Config) where it names
    /// a host or no path.
    fn from_str(text: &str) -> Result<Self> {
        let path = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => match rest.strip_prefix("//") {
                None => rest,
                Some(rest) if rest.starts_with('/') => rest,
                Some(rest) => match rest.strip_prefix("localhost") {
                    Some(path) if path.starts_with('/') => path,
                    _ => {
                        return Err(Error::config(format!("open landing {text}: the URL names a host")).with_help(
                            "write file:landing for a folder here, or file:///srv/landing for an absolute one",
                        ));
                    }
                },
            },
            Some((scheme, rest)) if rest.starts_with("//") => {
                return Err(Error::new(ErrorKind::Unsupported, format!("open landing {text}: store {scheme}"))
                    .with_help("this build lands in local folders: write file:landing or file:///srv/landing"));
            }
            _ => text,
        };
        match path.is_empty() {
            true => Err(Error::config("open landing: the path is empty").with_help("write url = \"file:landing\"")),
            false => Ok(LandingUrl { folder: PathBuf::from(path) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_local_folders_are_paths_and_others_are_unsupported() {
        let path = |url: &str| url.parse::<LandingUrl>().expect("it is local").folder;
        assert_eq!(path("file:landing"), Path::new("landing"));
        assert_eq!(path("file:///srv/landing"), Path::new("/srv/landing"));
        assert_eq!(path("FILE:landing"), Path::new("landing"));
        assert_eq!(path("file://localhost/srv/landing"), Path::new("/srv/landing"));
        assert_eq!(path("file:/srv/landing"), Path::new("/srv/landing"));
        assert_eq!(path("./a:b"), Path::new("./a:b"));
        assert_eq!("s3://bucket/landing".parse::<LandingUrl>().expect_err("remote").kind(), ErrorKind::Unsupported);
        assert_eq!("file://landing".parse::<LandingUrl>().expect_err("a host").kind(), ErrorKind::Config);
        assert_eq!("".parse::<LandingUrl>().expect_err("no path").kind(), ErrorKind::Config);
    }
}

//! A fresh folder beside a config's landing: on the same disk, under the same rights.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rdp_elt::config::{Config, SinkConfig};
use rdp_elt::sink::ParquetSink;
use rdp_elt::{Error, ErrorKind};
use tempfile::TempDir;

/// Makes a hidden folder whose name begins with `prefix`, for our eyes only; it goes with its handle.
pub(super) fn folder_beside_landing(config: &Config, prefix: &str) -> Result<TempDir, Error> {
    let Some(SinkConfig::Parquet { url, options }) = config.sink_config() else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "a fresh landing beside the config's own is known for parquet only",
        )
        .with_help("name a config that lands in Parquet"));
    };
    let landing = ParquetSink::open(url, options.clone())?;
    let folder = std::path::absolute(landing.folder()).unwrap_or_else(|_| landing.folder().to_owned());
    let beside = folder.parent().unwrap_or(&folder);
    let made = tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(0o700)).tempdir_in(beside);
    made.map_err(|error| {
        Error::unavailable(format!("make a folder beside {}", folder.display()))
            .with_source(error)
            .with_help("a second landing has to have its place and its room there")
    })
}

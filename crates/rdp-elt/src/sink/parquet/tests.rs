//! What is special to Parquet files: names, damage, foreign files, a folder that changes under the sink.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::offset::OffsetRanges;
use crate::sink::conformance::{self, land, rows, window};

#[tokio::test(flavor = "multi_thread")]
async fn parquet_passes_conformance() {
    let root = TempDir::new().expect("a folder");
    conformance::run(async |place: &str| {
        let folder = root.path().join(place);
        Arc::new(open(&folder)) as Arc<dyn Sink>
    })
    .await;
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_landed_file_is_found() {
    let (root, sink) = landing().await;
    let entry = sink.ledger("orders").await.expect("it is whole").remove(0);
    let path = file_at(root.path(), 0);
    let whole = fs::read(&path).expect("it is there");
    for at in (0..whole.len()).step_by(whole.len() / 200).chain(whole.len() - 20..whole.len()) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).expect("it can be altered");
        let error = sink.landed_offsets(&entry).await.expect_err("a flipped bit is no landed file");
        assert_eq!(error.kind(), ErrorKind::Data, "byte {at}: {error:?}");
        assert!(error.message().contains(&path.display().to_string()), "byte {at}: {error:?}");
    }
}

#[tokio::test]
async fn an_altered_footer_moves_no_position() {
    let (root, _) = landing().await;
    let path = file_at(root.path(), 0);
    let mut bytes = fs::read(&path).expect("it is there");
    let end = bytes.windows(8).rposition(|text| text == b"\"end\":10").expect("the ledger entry is text");
    bytes[end + 6] = b'7';
    fs::write(&path, &bytes).expect("it can be altered");
    let error = open(root.path()).positions(&[orders()]).await.expect_err("it says another end");
    assert_eq!(error.kind(), ErrorKind::Data, "{error:?}");
}

#[tokio::test]
async fn a_truncated_file_is_named_and_stops_the_landing() {
    let (root, sink) = landing().await;
    let path = file_at(root.path(), 0);
    let whole = fs::read(&path).expect("it is there");
    for length in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("it can be cut");
        for error in [
            open(root.path()).positions(&[orders()]).await.expect_err("positions"),
            sink.ledger("orders").await.expect_err("ledger"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Data, "{length} bytes: {error:?}");
            assert!(error.message().contains("00000000000000000000.parquet"), "{error:?}");
            assert!(error.help().is_some(), "{error:?}");
        }
    }
}

#[tokio::test]
async fn foreign_files_move_no_position_and_the_ledger_names_those_that_readers_would_see() {
    let (root, sink) = landing().await;
    let folder = file_at(root.path(), 0);
    let folder = folder.parent().expect("a folder");
    fs::write(folder.join("notes.txt"), "mine").expect("it can be written");
    assert_eq!(sink.ledger("orders").await.expect("no reader globs it").len(), 1);
    fs::write(folder.join("part-0.parquet"), "mine").expect("it can be written");
    assert_eq!(sink.positions(&[orders()]).await.expect("it is not newest")[&orders()].position, 10);
    let error = sink.ledger("orders").await.expect_err("readers glob it");
    assert!(error.message().contains("part-0.parquet"), "{error:?}");
}

#[tokio::test]
async fn a_file_copied_to_another_name_is_found() {
    let (root, sink) = landing().await;
    fs::copy(file_at(root.path(), 0), file_at(root.path(), 10)).expect("it can be copied");
    let error = sink.ledger("orders").await.expect_err("it would double the rows");
    assert_eq!(error.kind(), ErrorKind::Data, "{error:?}");
    assert!(error.message().contains("00000000000000000010.parquet"), "{error:?}");
}

#[tokio::test]
async fn a_landing_that_shrinks_under_the_sink_is_a_conflict() {
    let (root, sink) = landing().await;
    land(&sink, &orders(), 10..12).await.expect("it lands");
    fs::remove_dir_all(root.path().join("topic=orders")).expect("it can be removed");
    let error = sink.positions(&[orders()]).await.expect_err("it had landed up to 12");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    let error = land(&sink, &orders(), 12..14).await.expect_err("it would begin at 12");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    // A process that starts now begins anew.
    land(&open(root.path()), &orders(), 0..14).await.expect("all is landed again");
}

#[tokio::test]
async fn a_folder_removed_in_the_middle_of_a_window_lands_nothing_or_all() {
    let root = TempDir::new().expect("a folder");
    let folder = root.path().join("landing");
    let sink = open(&folder);
    let mut landing = Sink::open(&sink, &window()).await.expect("it opens");
    landing.append(&rows(&orders(), &[0, 1, 2])).await.expect("it takes rows");
    fs::remove_dir_all(&folder).expect("it can be removed");
    let ranges = OffsetRanges::from_iter([(orders(), OffsetRange::new(0, 3).expect("a range"))]);
    landing.commit(&ranges).await.expect("nothing had landed, so the folder is made again");
    assert_eq!(sink.positions(&[orders()]).await.expect("it landed")[&orders()].position, 3);
}

#[tokio::test]
async fn what_an_overtaken_writer_left_is_removed_and_what_may_be_alive_is_not() {
    let (root, sink) = landing().await;
    let (store, of) = (Store::open(root.path().to_owned()).expect("it opens"), orders());
    let overtaken = store.temporary(&of, 9, &window().id).expect("a file").into_temp_path().keep().expect("kept");
    let alive = store.temporary(&of, 10, &window().id).expect("a file").into_temp_path().keep().expect("kept");
    sink.positions(&[orders()]).await.expect("it reads");
    assert!(!overtaken.exists(), "it starts below the position");
    assert!(alive.exists(), "it starts at the position");
}

#[tokio::test]
async fn a_claim_without_a_file_fences_other_starts() {
    let root = TempDir::new().expect("a folder");
    let sink = open(root.path());
    let claimed = OffsetRange::new(5, 6).expect("a range");
    sink.0.pass_fence(&orders(), claimed, &window()).expect("nobody was there");

    let landed = sink.positions(&[orders()]).await.expect("it reads")[&orders()].clone();
    assert_eq!((landed.position, landed.window), (5, None));
    assert_eq!(land(&sink, &orders(), 0..6).await.expect_err("another start").kind(), ErrorKind::Conflict);
    land(&sink, &orders(), 5..6).await.expect("the claimed start");
}

#[tokio::test]
async fn memory_past_the_cap_is_written_out_and_what_lands_is_the_same() {
    let root = TempDir::new().expect("a folder");
    let options = ParquetSinkOptions { memory_bytes: 64 << 10, ..Default::default() };
    let sink = ParquetSink::open(&root.path().display().to_string(), options).expect("it opens");
    let mut landing = Sink::open(&sink, &window()).await.expect("it opens");
    for start in (0..200_000).step_by(10_000) {
        let offsets: Vec<i64> = (start..start + 10_000).collect();
        landing.append(&rows(&orders(), &offsets)).await.expect("it takes rows");
        assert!(landing.memory_bytes() < 700_000, "it holds {} bytes", landing.memory_bytes());
    }
    let ranges = OffsetRanges::from_iter([(orders(), OffsetRange::new(0, 200_000).expect("a range"))]);
    landing.commit(&ranges).await.expect("it lands");
    let entry = sink.ledger("orders").await.expect("it reads").remove(0);
    assert_eq!(sink.landed_offsets(&entry).await.expect("whole"), (0..200_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn many_partitions_side_by_side_land_as_one_row_group_each() {
    let root = TempDir::new().expect("a folder");
    let sink = open(root.path());
    let mut landing = Sink::open(&sink, &window()).await.expect("it opens");
    let partitions: Vec<_> = (0..40).map(|partition| TopicPartition::new("orders", partition)).collect();
    for start in (0..10_000).step_by(1_000) {
        let offsets: Vec<i64> = (start..start + 1_000).collect();
        for partition in &partitions {
            landing.append(&rows(partition, &offsets)).await.expect("it takes rows");
        }
    }
    assert!(landing.memory_bytes() < 64 << 20, "it holds {} bytes", landing.memory_bytes());
    let range = OffsetRange::new(0, 10_000).expect("a range");
    landing.commit(&partitions.iter().map(|of| (of.clone(), range)).collect()).await.expect("it lands");
    for partition in &partitions {
        let folder = layout::partition_folder(root.path(), partition).expect("a folder");
        let file = fs::File::open(folder.join(layout::file_name(0))).expect("it landed");
        let footer = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&file).expect("a footer");
        assert_eq!(footer.num_row_groups(), 1, "{partition}");
    }
}

#[test]
fn urls_of_local_folders_are_paths_and_others_are_unsupported() {
    let path = |url| local_folder(url).expect("it is local");
    assert_eq!(path("file:landing"), Path::new("landing"));
    assert_eq!(path("file:///srv/landing"), Path::new("/srv/landing"));
    assert_eq!(path("file://localhost/srv/landing"), Path::new("/srv/landing"));
    assert_eq!(path("file:/srv/landing"), Path::new("/srv/landing"));
    assert_eq!(path("./a:b"), Path::new("./a:b"));
    assert_eq!(local_folder("s3://bucket/landing").expect_err("remote").kind(), ErrorKind::Unsupported);
    assert_eq!(local_folder("file://landing").expect_err("a host").kind(), ErrorKind::Config);
    assert_eq!(local_folder("").expect_err("no path").kind(), ErrorKind::Config);
}

#[test]
fn a_file_where_the_landing_should_be_is_a_config_error() {
    let root = TempDir::new().expect("a folder");
    let path = root.path().join("taken");
    fs::write(&path, "").expect("it can be written");
    let error = ParquetSink::open(&path.display().to_string(), ParquetSinkOptions::default()).expect_err("a file");
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}

async fn landing() -> (TempDir, ParquetSink) {
    let root = TempDir::new().expect("a folder");
    let sink = open(root.path());
    land(&sink, &orders(), 0..10).await.expect("it lands");
    (root, sink)
}

fn open(folder: &Path) -> ParquetSink {
    ParquetSink::open(&folder.display().to_string(), ParquetSinkOptions::default()).expect("it opens")
}

fn file_at(root: &Path, start: i64) -> PathBuf {
    layout::partition_folder(root, &orders()).expect("a folder").join(layout::file_name(start))
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

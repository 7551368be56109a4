//! What is special to Parquet files: names, damage, foreign files, a folder that changes under the sink.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::offset::OffsetRanges;
use crate::reader::commits_of;
use crate::sink::SourceIdentity;
use crate::sink::conformance::{self, land, offsets_of, rows, window};

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
    let entry = commits_of(&*sink.reader(), "orders").await.expect("it is whole").remove(0);
    let path = file_at(root.path(), 0);
    let whole = fs::read(&path).expect("it is there");
    for at in (0..whole.len()).step_by(whole.len() / 200).chain(whole.len() - 20..whole.len()) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).expect("it can be altered");
        let error = offsets_of(&sink, &entry).await.expect_err("a flipped bit is no landed file");
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
            commits_of(&*sink.reader(), "orders").await.expect_err("ledger"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Data, "{length} bytes: {error:?}");
            assert!(error.message().contains("00000000000000000000.parquet"), "{error:?}");
            assert!(error.help().is_some(), "{error:?}");
        }
    }
}

#[tokio::test]
async fn foreign_files_move_no_position_and_those_that_readers_would_see_are_strays() {
    let (root, sink) = landing().await;
    let folder = file_at(root.path(), 0);
    let folder = folder.parent().expect("a folder");
    fs::write(folder.join("notes.txt"), "mine").expect("it can be written");
    assert!(sink.reader().strays().await.expect("listed").is_empty(), "no reader globs it");
    let landed = file_at(root.path(), 0);
    let topic = root.path().join("topic=orders");
    let strays = [
        folder.join("part-0.parquet"),
        folder.join("old/00000000000000000000.parquet"),
        topic.join("partition=00/00000000000000000000.parquet"),
        topic.join("partition=0.bak/00000000000000000000.parquet"),
        topic.join("00000000000000000000.parquet"),
        root.path().join("all.parquet"),
        root.path().join("copy/topic=orders/partition=0/00000000000000000000.parquet"),
    ];
    for (count, stray) in strays.iter().enumerate() {
        fs::create_dir_all(stray.parent().expect("a folder")).expect("it can be made");
        fs::copy(&landed, stray).expect("it can be copied");
        let found = sink.reader().strays().await.expect("listed");
        assert_eq!(found.len(), count + 1, "{found:?}");
        assert!(found.iter().any(|found| found.contains(&stray.display().to_string())), "{found:?}");
    }
    assert_eq!(sink.positions(&[orders()]).await.expect("none is newest")[&orders()].position, 10);
    assert_eq!(commits_of(&*sink.reader(), "orders").await.expect("none landed").len(), 1);
}

#[tokio::test]
async fn links_that_lead_in_a_circle_are_not_followed_for_ever() {
    let (root, sink) = landing().await;
    for name in ["a", "b", "c", "topic=orders/d"] {
        std::os::unix::fs::symlink(root.path(), root.path().join(name)).expect("it can be linked");
    }
    assert!(sink.reader().strays().await.expect("listed").is_empty());
    // One that leads elsewhere shows readers the rows twice.
    std::os::unix::fs::symlink("topic=orders", root.path().join("copy")).expect("it can be linked");
    assert_eq!(sink.reader().strays().await.expect("listed").len(), 1);
}

#[test]
fn a_folder_that_is_made_while_it_is_listed_is_no_error() {
    let root = TempDir::new().expect("a folder");
    let store = Store::open(root.path().to_path_buf()).expect("it opens");
    let at_once = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        const ROUNDS: std::ops::Range<i32> = 0..3_000;
        scope.spawn(|| {
            for round in ROUNDS {
                at_once.wait();
                fs::create_dir(root.path().join(format!("topic=t{round}"))).expect("it can be made");
            }
        });
        for round in ROUNDS {
            at_once.wait();
            for _ in 0..4 {
                assert!(store.list_topic(&format!("t{round}")).expect("listed").claims.is_empty());
            }
        }
    });
}

#[tokio::test]
async fn a_folder_that_is_there_and_cannot_be_read_is_not_an_empty_one() {
    let (root, sink) = landing().await;
    let partition = root.path().join("topic=orders/partition=0");
    fs::rename(&partition, root.path().join("elsewhere")).expect("it can be moved");
    // As to a disk that is not mounted.
    std::os::unix::fs::symlink(root.path().join("not-mounted"), &partition).expect("it can be linked");
    for sink in [&open(root.path()), &sink] {
        sink.positions(&[orders()]).await.expect_err("the position is not known");
        commits_of(&*sink.reader(), "orders").await.expect_err("neither is what landed");
    }
}

#[tokio::test]
async fn what_is_opened_to_be_read_stays_as_it_is() {
    let root = TempDir::new().expect("a folder");
    let place = root.path().join("nowhere");
    let open_to_read = |place: &Path| ParquetSink::open_to_read(&place.display().to_string()).expect("opened");
    assert!(open_to_read(&place).is_none() && !place.exists());

    let (root, _) = landing().await;
    let folder = file_at(root.path(), 0);
    let leftover =
        folder.with_file_name(format!("{}x{}", layout::temporary_prefix(0, &window().id), layout::TEMPORARY_SUFFIX));
    fs::write(&leftover, "half").expect("it can be written");
    let reader = open_to_read(root.path()).expect("it is there");
    assert_eq!(reader.positions(&[orders()]).await.expect("read")[&orders()].position, 10);
    assert!(leftover.exists(), "the reader cleans nothing up");
    assert!(reader.open(&window()).await.is_err(), "and lands nothing");
    open(root.path()).positions(&[orders()]).await.expect("read");
    assert!(!leftover.exists(), "a writer does");
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_landed_file_is_not_waited_for() {
    let (root, sink) = landing().await;
    let path = file_at(root.path(), 10);
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    let error = commits_of(&*sink.reader(), "orders").await.expect_err("it is no file");
    assert_eq!(error.kind(), ErrorKind::Data, "{error:?}");
}

#[tokio::test]
async fn a_file_copied_to_another_name_is_found() {
    let (root, sink) = landing().await;
    fs::copy(file_at(root.path(), 0), file_at(root.path(), 10)).expect("it can be copied");
    let error = commits_of(&*sink.reader(), "orders").await.expect_err("it would double the rows");
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
async fn who_looked_before_a_commit_ended_takes_nothing_for_gone() {
    let (_root, sink) = landing().await;
    let seen = sink.0.see(orders()).expect("it is there");
    passed(&sink, &[10, 11], 10..12).await.name().expect("it lands");
    let positions = sink.0.positions_by(vec![seen]).expect("that was so when it looked");
    assert_eq!(positions[&orders()].position, 10);
    assert_eq!(sink.positions(&[orders()]).await.expect("it is there")[&orders()].position, 12);
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
    landing.commit(&ranges).await.landed().expect("nothing had landed, so the folder is made again");
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
async fn a_writer_that_died_before_its_first_file_leaves_its_claim() {
    let root = TempDir::new().expect("a folder");
    let sink = open(root.path());
    drop(passed(&sink, &[5], 5..6).await);

    let landed = sink.positions(&[orders()]).await.expect("it reads")[&orders()].clone();
    assert_eq!((landed.position, landed.brought_by), (5, BroughtBy::Claim));
    assert_eq!(land(&sink, &orders(), 0..6).await.expect_err("another start").kind(), ErrorKind::Conflict);
    land(&sink, &orders(), 5..6).await.expect("the claimed start");
}

#[tokio::test]
async fn an_overtaken_writer_lands_nothing_where_the_old_file_of_its_name_was_removed() {
    let (root, sink) = landing().await;
    // Its rows begin behind its range's start.
    let zombie = passed(&sink, &[12, 13], 10..15).await;

    let quick = open(root.path());
    land(&quick, &orders(), 10..20).await.expect("it lands");
    land(&quick, &orders(), 20..25).await.expect("it lands");
    for start in [0, 10] {
        fs::remove_file(file_at(root.path(), start)).expect("old files may be removed");
    }
    assert_eq!(zombie.name().expect_err("it was overtaken").kind(), ErrorKind::Conflict);
    let ranges: Vec<_> =
        commits_of(&*sink.reader(), "orders").await.expect("it reads").iter().map(|entry| entry.range).collect();
    assert_eq!(ranges, [OffsetRange::new(20, 25).expect("a range")]);
    assert_eq!(land(&sink, &orders(), 15..30).await.expect_err("it is past that").kind(), ErrorKind::Conflict);
    land(&sink, &orders(), 25..30).await.expect("the position");
}

#[tokio::test]
async fn a_writer_that_has_not_asked_yet_is_stopped_too() {
    let (root, sink) = landing().await;
    let slow = whole(&sink, &[12, 13], 10..15).await;
    let quick = open(root.path());
    land(&quick, &orders(), 10..20).await.expect("it lands");
    land(&quick, &orders(), 20..25).await.expect("it lands");
    fs::remove_file(file_at(root.path(), 10)).expect("old files may be removed");
    let Err(error) = slow.pass_fences() else { panic!("it was overtaken") };
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
}

#[tokio::test]
async fn a_spilled_file_bears_the_start_of_its_range_once_it_is_whole() {
    let (root, _) = landing().await;
    let options = ParquetSinkOptions { memory_bytes: 64 << 10, ..Default::default() };
    let sink = ParquetSink::open(&root.path().display().to_string(), options).expect("it opens");
    let mut landing = ParquetWindow::new(sink.0.clone(), window());
    let offsets: Vec<i64> = (40..100_000).collect();
    landing.append(&rows(&orders(), &offsets)).await.expect("it takes rows");
    assert_eq!(temporaries(root.path()), [40], "what does not fit into memory is on the disk");
    let ranges = OffsetRanges::from_iter([(orders(), OffsetRange::new(10, 100_000).expect("a range"))]);
    let whole = landing.make_whole(&ranges).expect("it is written");
    assert_eq!(temporaries(root.path()), [10]);
    whole.pass_fences().expect("nobody was there").name().expect("it lands");
    assert_eq!(temporaries(root.path()), [] as [i64; 0]);
}

#[tokio::test]
async fn an_unfinished_file_that_somebody_removes_can_be_landed_again() {
    let (root, sink) = landing().await;
    let window = passed(&sink, &[10], 10..11).await;
    let folder = file_at(root.path(), 0).parent().expect("a folder").to_owned();
    for path in Store::open(root.path().to_owned()).expect("it opens").list(&orders()).expect("it lists").temporaries {
        fs::remove_file(folder.join(path.1)).expect("it can be removed");
    }
    assert_eq!(window.name().expect_err("it is gone").kind(), ErrorKind::Unavailable);
    land(&sink, &orders(), 10..11).await.expect("nobody was there");
}

#[tokio::test]
async fn writers_that_are_not_overtaken_keep_their_files() {
    let (root, sink) = landing().await;
    let rival = passed(&sink, &[10, 11], 10..12).await;
    let next = whole(&sink, &[20], 20..21).await;
    land(&open(root.path()), &orders(), 10..20).await.expect("it lands");
    assert_eq!(temporaries(root.path()), [10, 20], "neither starts below 10");
    assert_eq!(rival.name().expect_err("the name is given").kind(), ErrorKind::Conflict);
    next.pass_fences().expect("it is at the position").name().expect("it lands");
}

#[tokio::test]
async fn a_claim_is_one_file_for_all_its_partitions_and_the_lowest_number_holds() {
    let root = TempDir::new().expect("a folder");
    let sink = open(root.path());
    let claim = |starts: &[(i32, i64)]| Claim {
        topic: "orders".into(),
        source: SourceIdentity::default(),
        partition_count: 3,
        starts: starts.iter().copied().collect(),
    };
    sink.claim(&claim(&[(0, 5), (1, 6)])).await.expect("it is claimed");
    sink.claim(&claim(&[(0, 7), (1, 8)])).await.expect("it is claimed already");
    sink.claim(&claim(&[(1, 8), (2, 9)])).await.expect("the rest is claimed");
    let topic = root.path().join("topic=orders");
    let mut names: Vec<_> =
        fs::read_dir(&topic).expect("a folder").map(|entry| entry.expect("it lists").file_name()).collect();
    names.sort();
    assert_eq!(names, ["_claim.000000.json", "_claim.000001.json"], "and no other is left");

    // A claim that was slower than it looks.
    fs::copy(topic.join("_claim.000001.json"), topic.join("_claim.000002.json")).expect("it can be copied");
    let text = fs::read_to_string(topic.join("_claim.000000.json")).expect("it is text");
    let starts = sink.positions(&[orders()]).await.expect("it reads");
    assert_eq!(starts[&orders()].position, 5);
    assert!(commits_of(&*sink.reader(), "orders").await.expect("claims are RDP's own").is_empty());

    fs::write(topic.join("_claim.000000.json"), text.replace("\"0\":5", "\"0\":4")).expect("it can be altered");
    let error = sink.positions(&[orders()]).await.expect_err("it says another start");
    assert_eq!(error.kind(), ErrorKind::Data, "{error:?}");
}

#[tokio::test]
async fn a_claim_that_died_while_it_was_written_binds_nobody_and_goes_away() {
    let root = TempDir::new().expect("a folder");
    let sink = open(root.path());
    let topic = root.path().join("topic=orders");
    fs::create_dir(&topic).expect("it can be made");
    let dead = topic.join(format!("{}x1{}", layout::claim_temporary_prefix(0), layout::TEMPORARY_SUFFIX));
    fs::write(&dead, "{").expect("it can be written");
    assert!(sink.positions(&[orders()]).await.expect("it reads").is_empty());
    assert!(commits_of(&*sink.reader(), "orders").await.expect("it is RDP's own").is_empty());
    land(&sink, &orders(), 3..4).await.expect("nobody was there");
    assert!(!dead.exists(), "its number is given");
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
    landing.commit(&ranges).await.landed().expect("it lands");
    let entry = commits_of(&*sink.reader(), "orders").await.expect("it reads").remove(0);
    assert_eq!(offsets_of(&sink, &entry).await.expect("whole"), (0..200_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn few_large_rows_are_encoded_as_soon_as_many_small_ones() {
    let root = TempDir::new().expect("a folder");
    let sink = open(root.path());
    let mut landing = Sink::open(&sink, &window()).await.expect("it opens");
    let large = vec![7; 1 << 20];
    for start in (0..120).step_by(4) {
        let offsets: Vec<i64> = (start..start + 4).collect();
        let mut loaded = rows(&orders(), &offsets);
        let place = loaded.rows.schema().index_of("_kafka_key").expect("a column");
        let mut columns = loaded.rows.columns().to_vec();
        columns[place] = Arc::new(arrow::array::BinaryArray::from_iter_values(offsets.iter().map(|_| &large)));
        loaded.rows = RecordBatch::try_new(loaded.rows.schema(), columns).expect("rows");
        landing.append(&loaded).await.expect("it takes rows");
        // Rows that wait together have to stay far below the 2 GiB of one column, too.
        assert!(landing.memory_bytes() < 48 << 20, "it holds {} bytes", landing.memory_bytes());
    }
    let ranges = OffsetRanges::from_iter([(orders(), OffsetRange::new(0, 120).expect("a range"))]);
    landing.commit(&ranges).await.landed().expect("it lands");
    let entry = commits_of(&*sink.reader(), "orders").await.expect("it reads").remove(0);
    assert_eq!(offsets_of(&sink, &entry).await.expect("whole"), (0..120).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_window_holds_no_file_open_however_many_partitions_it_has() {
    let root = TempDir::new().expect("a folder");
    let options = ParquetSinkOptions { memory_bytes: 1, ..Default::default() };
    let sink = ParquetSink::open(&root.path().display().to_string(), options).expect("it opens");
    let mut landing = Sink::open(&sink, &window()).await.expect("it opens");
    let partitions: Vec<_> = (0..60).map(|partition| TopicPartition::new("orders", partition)).collect();
    for start in [0, 5_000] {
        let offsets: Vec<i64> = (start..start + 5_000).collect();
        for partition in &partitions {
            landing.append(&rows(partition, &offsets)).await.expect("it takes rows");
        }
    }
    let is_ours = |link: &Path| fs::read_link(link).is_ok_and(|file| file.starts_with(root.path()));
    let open = fs::read_dir("/proc/self/fd")
        .expect("it lists")
        .filter(|link| link.as_ref().is_ok_and(|link| is_ours(&link.path())));
    assert_eq!(open.count(), 0, "files are open");
    let range = OffsetRange::new(0, 10_000).expect("a range");
    landing.commit(&partitions.iter().map(|of| (of.clone(), range)).collect()).await.landed().expect("it lands");
    for entry in commits_of(&*sink.reader(), "orders").await.expect("it reads") {
        assert_eq!(offsets_of(&sink, &entry).await.expect("whole"), (0..10_000).collect::<Vec<_>>());
    }
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
    landing.commit(&partitions.iter().map(|of| (of.clone(), range)).collect()).await.landed().expect("it lands");
    for partition in &partitions {
        let folder = layout::partition_folder(root.path(), partition).expect("a folder");
        let file = fs::File::open(folder.join(layout::file_name(0))).expect("it landed");
        let footer = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&file).expect("a footer");
        assert_eq!(footer.num_row_groups(), 1, "{partition}");
    }
}

#[tokio::test]
async fn a_partition_without_rows_has_the_columns_of_its_topic() {
    let (root, _) = landing().await;
    // Another process, which has seen no row of the topic.
    let sink = open(root.path());
    let other = TopicPartition::new("orders", 1);
    sink.prepare("orders", &rows(&other, &[]).rows.schema()).await.expect("they are the same");
    let landing = Sink::open(&sink, &window()).await.expect("it opens");
    let range = OffsetRange::new(0, 3).expect("a range");
    landing.commit(&OffsetRanges::from_iter([(other.clone(), range)])).await.landed().expect("it lands");
    let columns_of =
        |path: &Path| Footer::read(path).expect("it reads").schema(path).expect("it has one").fields().clone();
    let folder = layout::partition_folder(root.path(), &other).expect("a folder");
    assert_eq!(columns_of(&folder.join(layout::file_name(0))), columns_of(&file_at(root.path(), 0)));
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

/// A window with these rows whose files are whole.
async fn whole(sink: &ParquetSink, offsets: &[i64], range: std::ops::Range<i64>) -> window::WholeWindow {
    let mut landing = ParquetWindow::new(sink.0.clone(), window());
    landing.append(&rows(&orders(), offsets)).await.expect("it takes rows");
    let range = OffsetRange::new(range.start, range.end).expect("a range");
    landing.make_whole(&OffsetRanges::from_iter([(orders(), range)])).expect("it is written")
}

/// The same, frozen between the fence and the name.
async fn passed(sink: &ParquetSink, offsets: &[i64], range: std::ops::Range<i64>) -> window::PassedWindow {
    whole(sink, offsets, range).await.pass_fences().expect("it is at the position")
}

/// The starts in the names of unfinished files, ascending.
fn temporaries(root: &Path) -> Vec<i64> {
    let listing = Store::open(root.to_owned()).expect("it opens").list(&orders()).expect("it lists");
    let mut starts: Vec<_> = listing.temporaries.into_iter().map(|(start, _)| start).collect();
    starts.sort_unstable();
    starts
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

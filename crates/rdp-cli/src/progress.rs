//! The progress of a run: a bar where stderr is a terminal, and the sums for the summary either way.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rdp_elt::LoadEvent;

use crate::number::{counted, seconds};
use crate::screen::Screen;

/// Follows a loader's events.
pub(crate) struct Progress {
    bar: ProgressBar,
    screen: Screen,
    started: Instant,
    loaded: AtomicU64,
    windows: AtomicU64,
    files: AtomicU64,
    quarantined: AtomicU64,
    begun: AtomicBool,
}

impl Progress {
    /// A progress that begins now.
    pub(crate) fn start(screen: &Screen) -> Self {
        let bar = match screen.bars() {
            Some(bars) => bars.add(ProgressBar::no_length()),
            None => ProgressBar::hidden(),
        };
        bar.set_style(style(OPEN_ENDED));
        bar.set_message("asking the broker");
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress {
            bar,
            screen: screen.clone(),
            started: Instant::now(),
            loaded: AtomicU64::new(0),
            windows: AtomicU64::new(0),
            files: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
            begun: AtomicBool::new(false),
        }
    }

    /// Takes one event; quick, since lanes call it.
    pub(crate) fn observe(&self, event: &LoadEvent) {
        if matches!(event, LoadEvent::Assigned { .. }) {
            self.begun.store(true, Ordering::SeqCst);
        }
        match event {
            LoadEvent::Assigned { positions, ends: Some(ends) } => {
                let left: i64 =
                    ends.iter().map(|(partition, end)| (end - positions.position(partition).unwrap_or(0)).max(0)).sum();
                // Offsets and not records: compaction and transaction markers make them a little more.
                let done = self.loaded.load(Ordering::Relaxed);
                self.bar.set_style(style(BOUNDED));
                self.bar.set_length(done + left.unsigned_abs());
                self.bar.set_message("");
            }
            LoadEvent::Assigned { positions, .. } => {
                self.bar.set_message(counted(positions.len() as u64, "partition"));
            }
            LoadEvent::Loaded { record_count } => {
                self.loaded.fetch_add(*record_count, Ordering::Relaxed);
                self.bar.inc(*record_count);
            }
            LoadEvent::Landed { ranges, quarantined_count, .. } => {
                let windows = self.windows.fetch_add(1, Ordering::Relaxed) + 1;
                self.files.fetch_add(ranges.len() as u64, Ordering::Relaxed);
                let quarantined = self.quarantined.fetch_add(*quarantined_count, Ordering::Relaxed) + quarantined_count;
                self.bar.set_message(format!("{}, {quarantined} quarantined", counted(windows, "window")));
            }
            LoadEvent::Retrying { error, wait, .. } => {
                self.screen.say(format_args!("not available, again in {}: {error}", seconds(*wait)));
            }
            LoadEvent::Waiting { reason, since } => {
                self.screen.say(format_args!("waiting for {}: {reason}", seconds(*since)));
            }
            LoadEvent::Revoked { partitions } => {
                self.bar.set_message(format!("{} taken away", counted(partitions.len() as u64, "partition")));
            }
            _ => {}
        }
    }

    /// Whether reading has begun: before that there is no window in hand.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// Takes the bar away. Returns the time since the start and the files that were written.
    pub(crate) fn finish(&self) -> (Duration, u64) {
        self.bar.finish_and_clear();
        (self.started.elapsed(), self.files.load(Ordering::Relaxed))
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

const BOUNDED: &str = "{elapsed:>4} {bar:30.cyan/dim} {human_pos}/{human_len} records  {per_sec}  {msg}";
const OPEN_ENDED: &str = "{elapsed:>4} {spinner} {human_pos} records  {per_sec}  {msg}";

//! Running one process and taking its measure: wall time, CPU time of it and of what it waited for, peak memory.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::processors::Spent;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    pub(crate) record_count: u64,
    pub(crate) wall_seconds: f64,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// The kernel's part of it.
    pub(crate) system_seconds: f64,
    pub(crate) peak_mib: f64,
    /// Windows that landed; none where nothing lands.
    pub(crate) window_count: u64,
    /// What else was busy meanwhile; zero where nobody looked.
    pub(crate) spent: Spent,
}

impl Measure {
    /// CPU-seconds per million records.
    pub(crate) fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.record_count as f64
    }

    pub(crate) fn records_per_second(&self) -> f64 {
        self.record_count as f64 / self.wall_seconds
    }
}

/// Runs a command, which must end well and print JSON; its messages go to stderr as they come.
#[expect(clippy::zombie_processes, reason = "wait4 reaps it, and tells what it used")]
pub(crate) fn run(mut command: Command) -> (Measure, Value) {
    let name = format!("{command:?}");
    let began = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("start {name}: {error}"));
    let mut stdout = String::new();
    // Ends with the child: nothing else holds the pipe.
    let read = child.stdout.take().expect("stdout is a pipe").read_to_string(&mut stdout);
    read.unwrap_or_else(|error| panic!("read what {name} prints: {error}"));
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value for wait4 to write over.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers outlive the call; the child is ours and is not waited for again.
    let waited = unsafe { libc::wait4(child.id().cast_signed(), &mut status, 0, &mut usage) };
    let wall_seconds = began.elapsed().as_secs_f64();
    assert!(waited > 0, "wait for {name}: {}", std::io::Error::last_os_error());
    assert!(status == 0, "{name} ended with wait status {status:#x}:\n{stdout}");
    let told: Value = serde_json::from_str(stdout.trim())
        .unwrap_or_else(|error| panic!("{name} printed something else than JSON ({error}):\n{stdout}"));
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let measure = Measure {
        record_count: 0,
        wall_seconds,
        cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        system_seconds: seconds(usage.ru_stime),
        peak_mib: usage.ru_maxrss as f64 / 1024.0,
        window_count: told["window_count"].as_u64().unwrap_or_default(),
        spent: Spent::default(),
    };
    (measure, told)
}

/// The middle of every number by itself.
pub(crate) fn median(measures: &[Measure]) -> Measure {
    Measure {
        record_count: measures.first().map_or(0, |measure| measure.record_count),
        wall_seconds: middle(measures.iter().map(|measure| measure.wall_seconds)),
        cpu_seconds: middle(measures.iter().map(|measure| measure.cpu_seconds)),
        system_seconds: middle(measures.iter().map(|measure| measure.system_seconds)),
        peak_mib: middle(measures.iter().map(|measure| measure.peak_mib)),
        window_count: middle(measures.iter().map(|measure| measure.window_count as f64)).round() as u64,
        spent: Spent {
            broker_seconds: middle(measures.iter().map(|measure| measure.spent.broker_seconds)),
            busy_share: middle(measures.iter().map(|measure| measure.spent.busy_share)),
        },
    }
}

/// The middle value; of an even number, the mean of the two in the middle.
pub(crate) fn middle(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length => (values[(length - 1) / 2] + values[length / 2]) / 2.0,
    }
}

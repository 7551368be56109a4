//! What the processors do: how busy they are while something runs, the broker's part of it, and keeping a process on some.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The clocks of the machine's processors and of the broker's process, in seconds of CPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    busy: f64,
    idle: f64,
    broker: f64,
}

/// What the clocks counted between two readings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// CPU-seconds of the broker.
    pub(crate) broker_seconds: f64,
    /// The part of all processors that something ran on, whatever it was: 1 is all of them, all the time.
    pub(crate) busy_share: f64,
}

impl Clocks {
    /// Reads them.
    pub(crate) fn read(broker: u32) -> Self {
        let stat = read("/proc/stat");
        let all = stat.lines().next().expect("/proc/stat begins with all processors");
        let ticks: Vec<f64> = all.split_whitespace().skip(1).map(number).collect();
        // user nice system idle iowait irq softirq steal; a guest's time is in user.
        let [user, nice, system, idle, waiting, interrupts, soft, stolen, ..] = ticks[..] else {
            panic!("/proc/stat has eight numbers: {all}")
        };
        let path = format!("/proc/{broker}/stat");
        let of_broker = read(&path);
        // The name in the second field may hold anything but is the last to end with a parenthesis.
        let (_, fields) = of_broker.rsplit_once(')').unwrap_or_else(|| panic!("{path} names its process"));
        let time: f64 = fields.split_whitespace().skip(11).take(2).map(number).sum();
        Clocks {
            busy: (user + nice + system + interrupts + soft + stolen) / TICKS,
            idle: (idle + waiting) / TICKS,
            broker: time / TICKS,
        }
    }

    /// What was spent since.
    pub(crate) fn since(self, before: Clocks) -> Spent {
        let (busy, idle) = (self.busy - before.busy, self.idle - before.idle);
        Spent { broker_seconds: self.broker - before.broker, busy_share: busy / (busy + idle) }
    }
}

/// Keeps what a command starts on the first of the processors that this process may use.
pub(crate) fn keep_on_one(command: &mut Command) {
    // SAFETY: an all-zero set is a valid empty one.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the set outlives the call, which writes at most `size` bytes into it.
    let read = unsafe { libc::sched_getaffinity(0, size, &mut allowed) };
    assert!(read == 0, "ask for the processors: {}", std::io::Error::last_os_error());
    // SAFETY: the numbers are within the set's size.
    let first = (0..libc::CPU_SETSIZE as usize).find(|number| unsafe { libc::CPU_ISSET(*number, &allowed) });
    let first = first.expect("a process runs somewhere");
    // SAFETY: as above; between fork and exec only a system call is made, on a set that was built before.
    unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(first, &mut one);
        command.pre_exec(move || match libc::sched_setaffinity(0, size, &one) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

/// How many processors there are.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|error| panic!("{text} is no number: {error}"))
}

/// The kernel shows user processes hundredths of a second, whatever it counts in.
const TICKS: f64 = 100.0;

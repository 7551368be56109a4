//! A child process that is measured: how long it took, its CPU time and its largest memory, and those of nobody else.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdp_elt::{Error, Shutdown};

/// How a measured child ended, and what it took.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Its exit code; 128 and the signal's number where a signal ended it, as a shell says it.
    pub(crate) code: u8,
    /// All that it wrote to stdout.
    pub(crate) stdout: String,
    /// From start to end.
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// The most memory that it had at a time (resident set), in bytes.
    pub(crate) peak_bytes: u64,
}

/// Runs a command to its end. Blocks. Asked to shut down, it passes each of the two requests on to the child.
pub(crate) fn measure(mut command: Command, shutdown: &Shutdown) -> Result<Measured, Error> {
    let failed = |error| Error::internal("run a measured child process").with_source(error);
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let stdout = child.stdout.take();
    // Read beside the wait: a full pipe would hold the child up.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_string(&mut text)).map(|_| text)
    });
    let (status, usage) = wait(&child, shutdown).map_err(failed)?;
    let wall = began.elapsed();
    let stdout = reader.join().unwrap_or_else(|_| Ok(String::new())).map_err(failed)?;
    let code = match libc::WIFEXITED(status) {
        true => libc::WEXITSTATUS(status),
        false => 128 + libc::WTERMSIG(status),
    };
    Ok(Measured {
        code: u8::try_from(code).unwrap_or(u8::MAX),
        stdout,
        wall,
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * MAXRSS_UNIT,
    })
}

/// Waits for a child by `wait4`, the one call that tells what this child used. The handle must not be waited on after.
fn wait(child: &Child, shutdown: &Shutdown) -> std::io::Result<(libc::c_int, libc::rusage)> {
    let id = child.id().cast_signed();
    let mut told = 0;
    loop {
        let mut status = 0;
        // SAFETY: an all-zero rusage is a valid value for wait4 to write over.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers outlive the call. The child is ours and nobody else reaps it.
        match unsafe { libc::wait4(id, &mut status, libc::WNOHANG, &mut usage) } {
            0 => {}
            -1 => return Err(std::io::Error::last_os_error()),
            _ => return Ok((status, usage)),
        }
        if told < u8::from(shutdown.is_requested()) + u8::from(shutdown.is_immediate()) {
            told += 1;
            // SAFETY: kill takes no pointers, and the child is not reaped, so the id is still its own.
            unsafe { libc::kill(id, libc::SIGTERM) };
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The kernel's times are never negative.
fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}

/// How much later than its end an end may be seen.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// `ru_maxrss` is in KiB, and on macOS in bytes.
const MAXRSS_UNIT: u64 = if cfg!(target_os = "macos") { 1 } else { 1024 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_measured_to_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo counted; exit 7"]);
        let measured = measure(command, &Shutdown::new()).expect("a shell runs");
        assert_eq!((measured.code, measured.stdout.as_str()), (7, "counted\n"));
        assert!(measured.peak_bytes > 0 && measured.wall > Duration::ZERO);
    }

    #[test]
    fn a_request_to_end_reaches_the_child() {
        let shutdown = Shutdown::new();
        shutdown.request();
        let mut command = Command::new("sleep");
        command.arg("60");
        let measured = measure(command, &shutdown).expect("sleep runs");
        assert_eq!(i32::from(measured.code), 128 + libc::SIGTERM);
    }
}

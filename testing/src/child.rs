//! Child processes that never outlive the test process, however it ends.

use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{io, thread};

/// A child that is killed when dropped, and by the kernel when the test process dies.
#[derive(Debug)]
pub(crate) struct ChildProcess(Child);

impl ChildProcess {
    /// Starts it.
    ///
    /// The kernel ties a child's life to the *thread* that forked it, and a test's thread ends with the test. So one
    /// thread, which lives as long as the process, forks for everybody.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
        let parent = std::process::id();
        // SAFETY: prctl, getppid and _exit are async-signal-safe and touch no memory of ours.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                // The parent may have died before the line above.
                if libc::getppid().cast_unsigned() != parent {
                    libc::_exit(1);
                }
                Ok(())
            });
        }
        let spawner = SPAWNER.get_or_init(|| {
            let (requests, inbox) = mpsc::channel::<Request>();
            thread::spawn(move || {
                for (mut command, answer) in inbox {
                    let _ = answer.send(command.spawn());
                }
            });
            Mutex::new(requests)
        });
        let (answer, outcome) = mpsc::channel();
        let sent = spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer));
        sent.expect("the spawning thread never ends");
        outcome.recv().expect("the spawning thread answers every request").map(ChildProcess)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its stdin and stdout, where they are pipes and nobody has taken them.
    pub(crate) fn take_pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.0.stdin.take().zip(self.0.stdout.take())
    }

    /// Sends a signal; a child that has ended already gets none.
    pub(crate) fn signal(&mut self, signal: libc::c_int) {
        if self.ended().is_none() {
            // SAFETY: kill takes no pointers, and the child is not reaped, so the id is still its own.
            unsafe { libc::kill(self.0.id().cast_signed(), signal) };
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end; `None` when it is not over in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as `kill -9` does, and waits.
    pub(crate) fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

type Request = (Command, mpsc::Sender<io::Result<Child>>);

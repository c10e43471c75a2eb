//! `wait`: blocks until a container ends.

use std::time::Duration;

use crate::find::Observed;
use crate::wire::{Frame, Wants};
use crate::{Engine, Error, Result};

/// What to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Until {
    /// It does not run (returns at once when it does not).
    #[default]
    NotRunning,
    /// It ends the next time.
    NextExit,
    /// It is gone.
    Removed,
}

impl Engine {
    /// Waits and returns the exit code.
    pub fn wait(&self, who: &str, until: Until) -> Result<i32> {
        let seen = self.observe_as(who)?;
        let id = seen.record.id.clone();
        match until {
            Until::NotRunning if seen.state.is_none() => Ok(last_code(&seen)),
            Until::NotRunning => self.next_exit(&id),
            Until::NextExit => {
                while !self.is_active(&id) && self.exists(&id) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                self.next_exit(&id)
            }
            Until::Removed => {
                let mut code = last_code(&seen);
                while self.exists(&id) {
                    match self.is_active(&id).then(|| self.next_exit(&id)) {
                        Some(Ok(ended)) => code = ended,
                        Some(Err(Error::NoSuchContainer(_))) => break,
                        _ => std::thread::sleep(Duration::from_millis(20)),
                    }
                }
                Ok(code)
            }
        }
    }

    /// Asks the monitor to tell when the run is over.
    fn next_exit(&self, id: &str) -> Result<i32> {
        let mut code = None;
        if let Ok(mut connection) = self.connect(id) {
            connection.send(&Frame::Hello(Wants {
                ending: true,
                ..Wants::default()
            }));
            while code.is_none() && !connection.closed {
                crate::attach::wait_readable(connection.socket())?;
                connection.fill();
                connection.frames(|frame| {
                    if let Frame::Ended(ended) = frame {
                        code = Some(ended);
                    }
                });
            }
        }
        match code {
            Some(code) => Ok(code),
            // It ended before we came, or its monitor was killed.
            None => {
                self.repair_one(id)?;
                Ok(last_code(&self.observe(id)?))
            }
        }
    }
}

fn last_code(seen: &Observed) -> i32 {
    seen.last.as_ref().map_or(0, |last| last.exit_code)
}

//! A step's process: started in a group of its own, its output kept within bounds, ended for certain when it must end.

mod conclusion;
mod descendants;
mod orphans;
mod output;
mod process;
mod stop;
mod terminal;
mod tmux;

pub(crate) use self::output::OutputKeeper;

pub use self::descendants::{end_survivors, survivors};
pub use self::orphans::{adopt_orphans, reap_orphans};
pub use self::output::{OUTPUT_HEAD, OUTPUT_TAIL, read_output};
pub use self::process::{Around, CommandJob, Tap, run_command, run_command_around};
pub use self::stop::Stop;
pub use self::tmux::{Tmux, run_in_tmux};

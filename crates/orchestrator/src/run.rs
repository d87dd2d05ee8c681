//! A step's process: started in a group of its own, its output kept within bounds, ended for certain when it must end.

mod descendants;
mod output;
mod process;
mod stop;

pub use self::descendants::{end_survivors, survivors};
pub use self::output::{OUTPUT_HEAD, OUTPUT_TAIL, read_output};
pub use self::process::{CommandJob, run_command};
pub use self::stop::Stop;

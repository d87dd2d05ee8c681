//! What `doctor` finds in the database, and mends of it.

use std::path::Path;
use std::time::Duration;

use oneiric::count::counted;
use oneiric::fault::FaultKind;
use session_store::sqlite::checkup;

use super::super::backup;
use super::super::progress::Progress;
use super::super::turn::{self, Turn};
use super::{Doctor, State};

/// A clock that is further behind a stored event is wrong, or was.
const CLOCK_SLACK: Duration = Duration::from_secs(600);
/// What to do about damage that cannot be mended.
const RESTORE: &str = "restore a backup: session-buddy backup restore latest";

impl Doctor<'_> {
    pub(super) fn database(&mut self, deep: bool) {
        let path = match backup::database(self.context) {
            Ok(path) => path,
            Err(fault) => return self.ok("Database", fault.message()),
        };
        if !path.exists() {
            let hint = "it is made with the first recording".to_owned();
            return self.say("Database", State::Warning, format!("{} is not there yet", path.display()), Some(hint));
        }
        // Two that mend would be in each other's way, and so would a restore.
        let _turn = if self.fix { self.turn(&path) } else { None };
        // Brings it to this version, and takes in what waits.
        let opened = self.context.own_desk();
        let writable = opened.as_ref().ok().and_then(|desk| desk.store().ok()?.info().ok()).map(|info| info.writable);
        let opened = opened.map(|_| ());
        let looked = checkup::look(&path, deep);
        let derived = looked.as_ref().ok().and_then(|found| found.derived.clone());
        let looked = match derived {
            Some(damage) => {
                if !self.derived(&path, &damage) {
                    return;
                }
                checkup::look(&path, deep)
            }
            None => opened.and(looked),
        };
        let found = match looked {
            Ok(found) => found,
            Err(_) if writable == Some(false) => return self.only_readable(&path, "could be opened"),
            Err(fault) => {
                // Of what is damaged, this command says itself what can be done.
                let hint = fault
                    .advice()
                    .map(|advice| if advice.contains("'session-buddy doctor'") { RESTORE } else { advice });
                return self.say("Database", State::Failed, fault.message(), hint.map(str::to_owned));
            }
        };
        if let Some(damage) = found.damage {
            let hint = match found.foreign {
                Some(foreign) => {
                    format!("look at it, and remove it: sqlite3 {} '{}'", path.display(), foreign.drop_statement())
                }
                None => RESTORE.to_owned(),
            };
            return self.say(
                "Database",
                State::Failed,
                format!("{} is damaged ({damage})", path.display()),
                Some(hint),
            );
        }
        if writable == Some(false) {
            self.only_readable(&path, "is sound");
        } else {
            self.ok("Database", format!("{} is sound", path.display()));
        }
        self.values(&path, &found);
        self.totals(&path, &found);
        self.session_counts(&path, &found);
        self.index(&path, &found);
        let now = self.context.now();
        match found.latest.filter(|latest| *latest > now.plus(CLOCK_SLACK)) {
            Some(latest) => {
                let hint = "set the machine's clock, or look at the sender's".to_owned();
                self.say("Clock", State::Warning, format!("an event is of {}", latest.local()), Some(hint));
            }
            None => self.ok("Clock", now.local()),
        }
    }

    /// The turn for mending the database. Without it, this command only looks.
    fn turn(&mut self, path: &Path) -> Option<Turn> {
        match turn::alone(path) {
            Ok(turn) => return Some(turn),
            Err(fault) if fault.kind() == FaultKind::Conflict => {
                let fact = "another command mends the database, imports into it or restores it: nothing is mended";
                let hint = "try again when it has ended".to_owned();
                self.say("Database", State::Warning, fact, Some(hint));
            }
            Err(fault) => self.say("Database", State::Warning, fault.message(), fault.advice().map(str::to_owned)),
        }
        self.fix = false;
        None
    }

    fn only_readable(&mut self, path: &Path, what: &str) {
        let fact = format!("{} {what}, but can only be read: nothing is stored", path.display());
        self.say("Database", State::Failed, fact, Some("make the file and its folder writable".to_owned()));
    }

    /// Makes the search index and the list of words anew when they are damaged; whether they are sound then.
    fn derived(&mut self, path: &Path, damage: &str) -> bool {
        let fact = format!("damaged ({damage}); sessions and events are sound");
        if !self.fix {
            let hint =
                "session-buddy doctor --fix makes it anew; until then events may wait in their spools".to_owned();
            self.say("Search index", State::Failed, fact, Some(hint));
            return false;
        }
        let mut bar = Progress::new("Indexing", "events");
        match checkup::remake_derived(path, &mut |done, all| bar.tell(done, all)) {
            Ok(_) => {
                self.say("Search index", State::Fixed, fact, None);
                true
            }
            Err(fault) => {
                let hint = RESTORE.to_owned();
                self.say("Search index", State::Failed, format!("{fact}; {}", fault.message()), Some(hint));
                false
            }
        }
    }

    /// Values that a flipped bit or another program made into something else.
    fn values(&mut self, path: &Path, found: &checkup::Checkup) {
        let Some(wrong) = &found.values else { return };
        // Of others, nothing would be left: whoever knows what they were can set them.
        let by_hand = || Some("nothing of it can be read: restore a backup, or set it by hand".to_owned());
        if wrong.readable == 0 {
            return self.say("Values", State::Warning, wrong.to_string(), by_hand());
        }
        if !self.fix {
            let hint = "session-buddy doctor --fix keeps what can be read of it".to_owned();
            return self.say("Values", State::Failed, wrong.to_string(), Some(hint));
        }
        match checkup::mend_values(path) {
            Ok((mended, left)) => {
                let fact = format!("{wrong}; {} as far as it could be read", counted(mended, "is kept", "are kept"));
                self.say("Values", State::Fixed, fact, None);
                if let Some(left) = left {
                    self.say("Values", State::Warning, left.to_string(), by_hand());
                }
            }
            Err(fault) => {
                let fact = format!("{wrong}; {}", fault.message());
                self.say("Values", State::Failed, fact, Some(RESTORE.to_owned()));
            }
        }
    }

    fn totals(&mut self, path: &Path, found: &checkup::Checkup) {
        let wrong: Vec<String> =
            found.miscounted.iter().map(|(what, kept, counted)| format!("{kept} {what}, really {counted}")).collect();
        if wrong.is_empty() {
            return self.ok("Totals", "as counted");
        }
        let fact = format!("the totals say {}", wrong.join("; "));
        let mended = self.fix && checkup::recount(path).is_ok();
        let hint = (!mended).then(|| "session-buddy doctor --fix counts again".to_owned());
        self.say("Totals", if mended { State::Fixed } else { State::Warning }, fact, hint);
    }

    /// Sessions that say another number of events than there are.
    fn session_counts(&mut self, path: &Path, found: &checkup::Checkup) {
        if found.miscounted_sessions == 0 {
            return;
        }
        let fact = match found.miscounted_sessions {
            1 => "1 session says another number of events than there are".to_owned(),
            some => format!("{some} sessions say another number of events than there are"),
        };
        let mended = self.fix && checkup::recount_sessions(path).is_ok();
        let hint = (!mended).then(|| "session-buddy doctor --fix counts again".to_owned());
        self.say("Totals", if mended { State::Fixed } else { State::Warning }, fact, hint);
    }

    fn index(&mut self, path: &Path, found: &checkup::Checkup) {
        if found.unindexed == 0 {
            let looked = counted(found.sampled, "event", "events");
            return self.ok("Search index", format!("knows all that was looked for: {looked}"));
        }
        let fact = format!("does not know {} of {}", found.unindexed, counted(found.sampled, "event", "events"));
        let mut bar = Progress::new("Indexing", "events");
        let mended = self.fix && checkup::rebuild_index(path, &mut |done, all| bar.tell(done, all)).is_ok();
        let hint = (!mended).then(|| "session-buddy doctor --fix makes it anew".to_owned());
        self.say("Search index", if mended { State::Fixed } else { State::Failed }, fact, hint);
    }
}

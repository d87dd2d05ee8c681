//! Agno's AgentOS: agents, teams and workflows run in the background; what became of a run is read from its session.
//!
//! A run lives in a session that has the attempt's key for its id, so that a run whose beginning was not answered is found
//! again. Runs in the background die with the server's process and go on saying `RUNNING`; the process is known by the time
//! at which it began.

use std::time::Duration;

use serde_json::{Map, Value};

use super::form::segment;
use super::http::{Credentials, Http, Payload};
use super::{AdapterSettings, Found, Order, Reading, Remote, Seen, Target, Trouble, short, sign_of};
use crate::workflows::fact::Outcome;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);
/// What can be run, as the paths call it.
const COLLECTIONS: [&str; 3] = ["agents", "teams", "workflows"];

/// An AgentOS.
pub struct Agno {
    http: Http,
}

/// A run as it is named here: `agents/ID/SESSION/RUN@LIFE`.
struct Run<'a> {
    /// `agents`, `teams` or `workflows`.
    collection: &'a str,
    id: &'a str,
    session: &'a str,
    run: &'a str,
    /// Of the process that began it, when that is known.
    life: Option<&'a str>,
}

impl Agno {
    /// The server of these settings.
    #[must_use]
    pub fn new(settings: &AdapterSettings) -> Self {
        let credentials = settings.auth.clone().map_or(Credentials::Nothing, Credentials::Bearer);
        Self { http: Http::new("Agno", &settings.url, credentials, LIMIT) }
    }

    fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.http.json(path, Payload::None, &[])
    }

    /// `agents/ID` as it is, `ID` alone when only one thing has it.
    fn resolve(&self, target: &str) -> Result<(String, String), Trouble> {
        if let Some((collection, id)) = target.split_once('/')
            && COLLECTIONS.contains(&collection)
        {
            return Ok((collection.to_owned(), id.to_owned()));
        }
        let mut found: Vec<(String, String)> = self
            .targets()?
            .into_iter()
            .filter_map(|known| known.name.split_once('/').map(|(kind, id)| (kind.to_owned(), id.to_owned())))
            .filter(|(_, id)| id == target)
            .collect();
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => {
                Err(Trouble::Refused(format!("several things of Agno are called {target}: write agents/{target}")))
            }
            (None, _) => Err(Trouble::NotFound(format!("Agno has no agent, team or workflow {target}"))),
        }
    }

    /// The session's first own run.
    fn in_session(&self, collection: &str, id: &str, session: &str) -> Result<Option<String>, Trouble> {
        let path = format!("/{collection}/{}/runs?session_id={}", segment(id), segment(session));
        let found = match self.get(&path) {
            Err(Trouble::NotFound(text)) if !text.contains("Session") => {
                return Err(Trouble::NotFound(format!("Agno has no {collection}/{id}")));
            }
            Err(Trouble::NotFound(_)) => return Ok(None),
            found => found?,
        };
        let run = found.as_array().and_then(|runs| runs.first()).and_then(|run| run["run_id"].as_str());
        Ok(run.map(|run| format!("{collection}/{id}/{session}/{run}")))
    }

    /// What tells the server's process from another one.
    fn life(&self) -> Result<String, Trouble> {
        let health = self.get("/health")?;
        Ok(format!("{:x}", sign_of(&[health["instantiated_at"].as_str().unwrap_or_default()])))
    }

    fn run(&self, run: &str) -> Result<Value, Trouble> {
        let Run { collection, id, session, run, .. } = parse(run)?;
        self.get(&format!("/{collection}/{}/runs/{}?session_id={}", segment(id), segment(run), segment(session)))
    }
}

impl Remote for Agno {
    fn verify(&self, limit: Duration) -> Result<Found, Trouble> {
        let http = self.http.within(limit);
        let info = http.json("/info", Payload::None, &[])?;
        let version = info["agno_version"].as_str().ok_or_else(|| {
            Trouble::Broken(format!("what answers at {} does not look like AgentOS", self.http.base()))
        })?;
        // The page of facts is open to all; this one is not when the server asks for a key.
        http.json("/agents", Payload::None, &[])?;
        let mut notes = Vec::new();
        if self.http.is_exposed() {
            notes.push("credentials travel unencrypted: use https".to_owned());
        }
        if info["auth_mode"].as_str() == Some("none") && !super::http::is_local(self.http.base()) {
            notes.push("the server asks nobody who they are".to_owned());
        }
        Ok(Found { version: version.to_owned(), notes })
    }

    fn targets(&self) -> Result<Vec<Target>, Trouble> {
        let mut targets = Vec::new();
        for collection in COLLECTIONS {
            let found = self.get(&format!("/{collection}"))?;
            let ids = found.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str());
            targets.extend(ids.take(1_000).map(|id| Target {
                name: format!("{collection}/{id}"),
                state: collection.trim_end_matches('s').to_owned(),
                parameters: vec!["message".to_owned()],
                waits: None,
            }));
        }
        Ok(targets)
    }

    fn find(&self, order: &Order) -> Result<Option<String>, Trouble> {
        let (collection, id) = self.resolve(order.target)?;
        self.in_session(&collection, &id, order.key)
    }

    fn begin(&self, order: &Order) -> Result<String, Trouble> {
        let (collection, id) = self.resolve(order.target)?;
        if let Some(run) = self.in_session(&collection, &id, order.key)? {
            return Ok(run);
        }
        let (message, state) = message(order)?;
        let life = self.life()?;
        let mut fields = vec![
            ("message", message),
            ("stream", "false".to_owned()),
            ("background", "true".to_owned()),
            ("session_id", order.key.to_owned()),
        ];
        if !state.is_empty() {
            fields.push(("session_state", Value::Object(state).to_string()));
        }
        let path = format!("/{collection}/{}/runs", segment(&id));
        let made = self.http.json(&path, Payload::Form(&fields), &[("Idempotency-Key", order.key)])?;
        let run = made["run_id"].as_str().ok_or_else(garbage)?;
        Ok(format!("{collection}/{id}/{}/{run}@{life}", order.key))
    }

    fn look(&self, run: &str) -> Result<Seen, Trouble> {
        let found = match self.run(run) {
            Err(Trouble::NotFound(_)) => return Ok(Seen::Missing),
            found => found?,
        };
        let mut seen = seen(&found)?;
        if let (Seen::Working { doubt, .. }, Some(life)) = (&mut seen, parse(run)?.life)
            && self.life()? != life
        {
            *doubt = Some("the server was started anew meanwhile".to_owned());
        }
        Ok(seen)
    }

    fn cancel(&self, run: &str) -> Result<(), Trouble> {
        let Run { collection, id, session, run, .. } = parse(run)?;
        let path =
            format!("/{collection}/{}/runs/{}/cancel?session_id={}", segment(id), segment(run), segment(session));
        // It answers the same for runs that it does not know: only reading back tells.
        self.http.json(&path, Payload::Form(&[]), &[]).map(drop)
    }

    fn read(&self, run: &str, reading: &mut Reading) -> Result<String, Trouble> {
        // An agent keeps no log; what it said is there at once when it has ended.
        if reading.complete {
            return Ok(String::new());
        }
        let found = self.run(run)?;
        if !matches!(seen(&found)?, Seen::Ended { .. }) {
            return Ok(String::new());
        }
        reading.complete = true;
        let text = match &found["content"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Ok(if text.is_empty() { text } else { format!("{}\n", text.trim_end()) })
    }
}

/// What a run's status means.
fn seen(run: &Value) -> Result<Seen, Trouble> {
    let status = run["status"].as_str().ok_or_else(garbage)?;
    let ended = |outcome, note, result| Seen::Ended { outcome, note, result };
    let content = || Some(run["content"].clone()).filter(|content| !content.is_null());
    Ok(match status {
        "PENDING" | "RUNNING" => {
            let events = run["events"].as_array().map_or(0, Vec::len).to_string();
            Seen::Working { sign: sign_of(&[status, &events]), doubt: None }
        }
        "PAUSED" => Seen::Waiting("PAUSED: it waits for a person".to_owned()),
        "COMPLETED" | "REGENERATED" => ended(Outcome::Succeeded, None, content()),
        "ERROR" | "FAILED" => {
            let why = run["content"].as_str().map(short).filter(|text| !text.is_empty());
            ended(Outcome::Failed, Some(why.unwrap_or_else(|| "Agno says that it failed".to_owned())), None)
        }
        "CANCELLED" => ended(Outcome::Cancelled, Some("cancelled in Agno".to_owned()), None),
        other => return Err(Trouble::Broken(format!("Agno says that the run is {}", short(other)))),
    })
}

/// What the model is told, and what else there is.
fn message(order: &Order) -> Result<(String, Map<String, Value>), Trouble> {
    let mut rest = order.parameters.clone();
    let said = ["message", "prompt", "command"].iter().find_map(|name| rest.remove(*name));
    let mut message = match said {
        Some(Value::String(text)) if !text.trim().is_empty() => text,
        Some(other) if !other.is_null() && !other.is_string() => other.to_string(),
        _ => return Err(Trouble::Refused(format!("{} needs a message", order.target))),
    };
    if let Some(dir) = order.dir {
        // Nothing else tells a model which repository is meant.
        message.push_str(&format!("\n\nRepository: {} ({})", order.repo, dir.display()));
        rest.entry("repo").or_insert_with(|| order.repo.into());
        rest.entry("path").or_insert_with(|| dir.display().to_string().into());
    }
    Ok((message, rest))
}

fn parse(run: &str) -> Result<Run<'_>, Trouble> {
    let wrong = || Trouble::Refused(format!("'{}' names no run of Agno", short(run)));
    let (collection, rest) = run.split_once('/').ok_or_else(wrong)?;
    let (rest, run) = rest.rsplit_once('/').ok_or_else(wrong)?;
    let (id, session) = rest.rsplit_once('/').ok_or_else(wrong)?;
    if !COLLECTIONS.contains(&collection) {
        return Err(wrong());
    }
    let (run, life) = run.split_once('@').map_or((run, None), |(run, life)| (run, Some(life)));
    Ok(Run { collection, id, session, run, life })
}

fn garbage() -> Trouble {
    Trouble::Broken("Agno's answer cannot be understood".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let is = |status: &str| seen(&json!({ "status": status, "content": "so" }));
        assert!(matches!(is("RUNNING").unwrap(), Seen::Working { .. }));
        assert!(matches!(is("PAUSED").unwrap(), Seen::Waiting(_)));
        assert!(matches!(is("COMPLETED").unwrap(), Seen::Ended { outcome: Outcome::Succeeded, result: Some(_), .. }));
        assert!(matches!(is("ERROR").unwrap(), Seen::Ended { outcome: Outcome::Failed, note: Some(_), .. }));
        assert!(matches!(is("CANCELLED").unwrap(), Seen::Ended { outcome: Outcome::Cancelled, .. }));
        assert!(is("WHATEVER").is_err() && seen(&json!("x")).is_err());
    }

    #[test]
    fn a_model_is_told_which_repository_is_meant() {
        let map = json!({ "command": "review it", "depth": 2 }).as_object().unwrap().clone();
        let dir = std::path::Path::new("/src/shop");
        let order = Order { key: "k", workflow: "w", repo: "shop", dir: Some(dir), target: "echo", parameters: &map };
        let (text, rest) = message(&order).unwrap();
        assert_eq!(text, "review it\n\nRepository: shop (/src/shop)");
        assert_eq!(rest.keys().map(String::as_str).collect::<Vec<_>>(), ["depth", "path", "repo"]);
        assert!(message(&Order { parameters: &Map::new(), ..order }).is_err());
    }

    #[test]
    fn a_run_is_named_so_that_it_can_be_asked_about_later() {
        let run = parse("agents/a/b/session-1/run-1@5f").unwrap();
        assert_eq!((run.collection, run.id, run.session, run.run), ("agents", "a/b", "session-1", "run-1"));
        assert_eq!((run.life, parse("teams/a/s/r").unwrap().life), (Some("5f"), None));
        assert!(parse("nothing").is_err() && parse("ghosts/a/b/c").is_err());
    }
}

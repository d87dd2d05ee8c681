//! Prefect, by its REST interface: deployments are run, states are polled. A run's state is only ever what a poll gave; the
//! server's events say when a poll is worth while.

mod events;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::Clock;
use serde_json::{Map, Value, json};

use self::events::Events;
use super::form::segment;
use super::hints::Hints;
use super::http::{Answer, Credentials, Http, Payload};
use super::{AdapterSettings, Found, Order, Reading, Remote, Seen, Target, Trouble, names, short, sign_of};
use crate::workflows::fact::Outcome;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Most deployments that are listed, and lines of a log that are asked for at once.
const PAGE: usize = 200;
/// Lines before the newest one that are asked for again: lines of several processes arrive out of order.
const OVERLAP: i64 = 50;
/// How long it is taken as known whether somebody takes runs of a deployment.
const READY: Duration = Duration::from_secs(15);

/// By deployment, whether somebody takes its runs, and when that was asked by a monotonic clock.
type Ready = HashMap<String, (bool, Duration)>;

/// A Prefect server, or Prefect Cloud.
pub struct Prefect {
    http: Http,
    hints: Hints,
    ready: Mutex<Ready>,
    clock: Arc<dyn Clock>,
}

impl Prefect {
    /// The server of these settings. The address may end with `/api` or not.
    #[must_use]
    pub fn new(settings: &AdapterSettings, clock: Arc<dyn Clock>) -> Self {
        let url = settings.url.trim_end_matches('/');
        let below = url.ends_with("/api") || url.contains("/api/");
        let base = if below { url.to_owned() } else { format!("{url}/api") };
        let credentials = match &settings.auth {
            None => Credentials::Nothing,
            Some(secret) if secret.expose().contains(':') => Credentials::Basic(secret.clone()),
            Some(secret) => Credentials::Bearer(secret.clone()),
        };
        let events = Events { base: base.clone(), auth: settings.auth.clone(), clock: Arc::clone(&clock) };
        Self {
            http: Http::new("Prefect", &base, credentials, LIMIT),
            hints: Hints::new("Prefect", Box::new(events), Arc::clone(&clock)),
            ready: Mutex::default(),
            clock,
        }
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.http.json(path, Payload::Json(body), &[])
    }

    fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.http.json(path, Payload::None, &[])
    }

    fn deployment(&self, target: &str) -> Result<Value, Trouble> {
        let path = match target.split_once('/') {
            Some((flow, deployment)) => format!("/deployments/name/{}/{}", segment(flow), segment(deployment)),
            None => format!("/deployments/{}", segment(target)),
        };
        match self.get(&path) {
            Err(Trouble::NotFound(_)) => Err(Trouble::NotFound(format!("Prefect has no deployment {target}"))),
            Err(Trouble::Refused(_)) if !target.contains('/') => {
                Err(Trouble::NotFound(format!("'{target}' names no deployment: write FLOW/DEPLOYMENT")))
            }
            found => found,
        }
    }

    /// Whether somebody takes runs of this deployment; true when that is not known.
    fn is_ready(&self, deployment: &str) -> bool {
        let known = self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(deployment).copied();
        if let Some((ready, at)) = known
            && self.clock.monotonic() < at + READY
        {
            return ready;
        }
        let Ok(found) = self.get(&format!("/deployments/{}", segment(deployment))) else { return true };
        let ready = found["status"].as_str() != Some("NOT_READY");
        let mut all = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() > 10_000 {
            all.clear();
        }
        all.insert(deployment.to_owned(), (ready, self.clock.monotonic()));
        ready
    }
}

impl Remote for Prefect {
    fn verify(&self, limit: Duration) -> Result<Found, Trouble> {
        let version = self.http.within(limit).json("/admin/version", Payload::None, &[])?;
        let mut notes = Vec::new();
        if self.http.is_exposed() {
            notes.push("credentials travel unencrypted: use https".to_owned());
        }
        let version = version.as_str().ok_or_else(|| {
            Trouble::Broken(format!("what answers at {} does not look like Prefect", self.http.base()))
        })?;
        Ok(Found { version: version.to_owned(), notes })
    }

    fn targets(&self) -> Result<Vec<Target>, Trouble> {
        let flows = self.post("/flows/filter", &json!({ "limit": PAGE }))?;
        let flows: HashMap<&str, &str> =
            list(&flows).filter_map(|flow| Some((flow["id"].as_str()?, flow["name"].as_str()?))).collect();
        let found = self.post("/deployments/filter", &json!({ "limit": PAGE, "sort": "NAME_ASC" }))?;
        let target = |deployment: &Value| {
            let flow = flows.get(deployment["flow_id"].as_str()?)?;
            Some(target(format!("{flow}/{}", deployment["name"].as_str()?), deployment))
        };
        let mut targets: Vec<Target> = list(&found).filter_map(target).collect();
        targets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(targets)
    }

    fn target(&self, name: &str) -> Result<Target, Trouble> {
        self.deployment(name).map(|deployment| target(name.to_owned(), &deployment))
    }

    fn find(&self, order: &Order) -> Result<Option<String>, Trouble> {
        let filter = json!({ "flow_runs": { "idempotency_key": { "any_": [order.key] } }, "limit": 1 });
        let found = self.post("/flow_runs/filter", &filter)?;
        Ok(list(&found).find_map(id))
    }

    fn begin(&self, order: &Order) -> Result<String, Trouble> {
        let deployment = self.deployment(order.target)?;
        let parameters = parameters(order, &deployment)?;
        let name = if order.repo.is_empty() { order.key.to_owned() } else { format!("{} {}", order.repo, order.key) };
        let run = json!({
            "parameters": parameters,
            "idempotency_key": order.key,
            "name": name,
            "tags": ["mahavishnu", format!("workflow:{}", order.workflow)],
        });
        let path = format!("/deployments/{}/create_flow_run", segment(&id(&deployment).ok_or_else(garbage)?));
        let made = self.post(&path, &run)?;
        id(&made).ok_or_else(garbage)
    }

    fn look(&self, run: &str) -> Result<Seen, Trouble> {
        let found = match self.get(&format!("/flow_runs/{}", segment(run))) {
            Err(Trouble::NotFound(_)) => return Ok(Seen::Missing),
            found => found?,
        };
        let mut seen = seen(&found)?;
        if let Seen::Working { doubt, .. } = &mut seen
            && let Some(deployment) = found["deployment_id"].as_str()
        {
            *doubt = (!self.is_ready(deployment)).then(|| "nobody takes runs of its deployment".to_owned());
        }
        Ok(seen)
    }

    fn cancel(&self, run: &str) -> Result<(), Trouble> {
        let wanted = json!({ "state": { "type": "CANCELLING", "name": "Cancelling" }, "force": false });
        let answer: Answer =
            self.http.ask(&format!("/flow_runs/{}/set_state", segment(run)), Payload::Json(&wanted), &[])?;
        let answer = self.http.good(answer)?;
        // The HTTP status says that the wish was heard, this one whether it is granted.
        match answer["status"].as_str() {
            Some("ACCEPT") => Ok(()),
            Some("WAIT") => Err(Trouble::Busy("Prefect lets the cancelling wait".to_owned(), None)),
            Some(_) => {
                let why = answer["details"]["reason"].as_str().unwrap_or("without a reason");
                Err(Trouble::Refused(format!("Prefect refuses to cancel: {}", short(why))))
            }
            None => Err(garbage()),
        }
    }

    fn read(&self, run: &str, reading: &mut Reading) -> Result<String, Trouble> {
        let from = (reading.position - OVERLAP).max(0);
        let wanted = json!({
            "logs": { "flow_run_id": { "any_": [run] } },
            "sort": "TIMESTAMP_ASC", "limit": PAGE, "offset": from,
        });
        let found = self.post("/logs/filter", &wanted)?;
        let (mut text, mut lines) = (String::new(), 0);
        let mut near = std::collections::HashSet::new();
        for line in list(&found) {
            lines += 1;
            let key = id(line).unwrap_or_default();
            if !reading.seen.contains(&key) {
                let message = line["message"].as_str().unwrap_or_default().trim_end();
                let level = match line["level"].as_i64().unwrap_or(20) {
                    40.. => "ERROR ",
                    30.. => "WARNING ",
                    _ => "",
                };
                // A flow's process writes this last; what it wrote before may arrive later than the state.
                reading.complete |= message.starts_with("Finished in state") && line["task_run_id"].is_null();
                text.push_str(level);
                text.push_str(message);
                text.push('\n');
            }
            near.insert(key);
        }
        reading.position = from + lines;
        reading.seen = near;
        Ok(text)
    }

    fn hints(&self) -> Option<&Hints> {
        Some(&self.hints)
    }
}

/// A deployment under this name.
fn target(name: String, deployment: &Value) -> Target {
    let (state, waits) = match (deployment["paused"].as_bool(), deployment["status"].as_str()) {
        (Some(true), _) => ("paused", Some("it is paused".to_owned())),
        (_, Some("READY")) => ("ready", None),
        _ => ("nobody takes its runs", Some(idle(deployment))),
    };
    Target { name, state: state.to_owned(), parameters: properties(deployment).map(names).unwrap_or_default(), waits }
}

/// That nobody takes a deployment's runs, and who would.
fn idle(deployment: &Value) -> String {
    match deployment["work_pool_name"].as_str() {
        Some(pool) => {
            format!("no worker of the work pool {pool} takes its runs: 'prefect worker start --pool {pool}' starts one")
        }
        None => "nobody takes its runs: it has no work pool, and no process serves it".to_owned(),
    }
}

/// What a run's state means.
fn seen(run: &Value) -> Result<Seen, Trouble> {
    let state = &run["state"];
    let kind = state["type"].as_str().or_else(|| run["state_type"].as_str()).ok_or_else(garbage)?;
    let name = state["name"].as_str().or_else(|| run["state_name"].as_str()).unwrap_or(kind);
    let message = state["message"].as_str().filter(|text| !text.is_empty()).map(short);
    let ended = |outcome, note| Seen::Ended { outcome, note, result: None };
    Ok(match kind {
        "SCHEDULED" | "PENDING" | "PAUSED" => Seen::Waiting(name.to_owned()),
        "RUNNING" | "CANCELLING" => {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let count = run["run_count"].to_string();
            Seen::Working { sign: sign_of(&[kind, &text(&state["id"]), &count]), doubt: None }
        }
        "COMPLETED" => ended(Outcome::Succeeded, None),
        "FAILED" => ended(Outcome::Failed, Some(message.unwrap_or_else(|| "Prefect says that it failed".to_owned()))),
        "CRASHED" => {
            let why = message.unwrap_or_else(|| "Prefect does not say why".to_owned());
            ended(Outcome::Crashed, Some(format!("crashed: {why}")))
        }
        "CANCELLED" => ended(Outcome::Cancelled, Some("cancelled in Prefect".to_owned())),
        other => return Err(Trouble::Broken(format!("Prefect says that the run is {}", short(other)))),
    })
}

/// What the run is given: all that was given on purpose, and of what is known of the repository what the flow takes.
fn parameters(order: &Order, deployment: &Value) -> Result<Map<String, Value>, Trouble> {
    let mut parameters = order.parameters.clone();
    let Some(takes) = properties(deployment) else { return Ok(parameters) };
    // A run that does not take its command would do something else and be reported as done.
    if let Some(unknown) = order.parameters.keys().find(|name| !takes.contains_key(*name)) {
        let known = if takes.is_empty() { "none".to_owned() } else { names(takes).join(", ") };
        return Err(Trouble::Refused(format!(
            "{} takes no parameter '{}'; it takes {known}",
            order.target,
            short(unknown)
        )));
    }
    let path = order.dir.map(|dir| dir.display().to_string());
    for (name, value) in [("repo", Some(order.repo.to_owned())), ("path", path)] {
        if let Some(value) = value.filter(|value| !value.is_empty() && takes.contains_key(name)) {
            parameters.entry(name).or_insert(Value::String(value));
        }
    }
    Ok(parameters)
}

fn properties(deployment: &Value) -> Option<&Map<String, Value>> {
    let schema = &deployment["parameter_openapi_schema"];
    let open = schema["additionalProperties"].as_bool() == Some(true);
    schema["properties"].as_object().filter(|_| !open)
}

fn id(value: &Value) -> Option<String> {
    value["id"].as_str().filter(|id| !id.is_empty() && id.len() <= 100).map(str::to_owned)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn garbage() -> Trouble {
    Trouble::Broken("Prefect's answer cannot be understood".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: &str) -> Value {
        json!({ "state": { "id": "s", "type": kind, "name": "Late", "message": "why\n  it is so" }, "run_count": 1 })
    }

    #[test]
    fn a_crash_is_told_from_a_failure() {
        let outcome = |kind: &str| match seen(&run(kind)).unwrap() {
            Seen::Ended { outcome, note, .. } => (outcome, note.unwrap_or_default()),
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome("CRASHED"), (Outcome::Crashed, "crashed: why it is so".into()));
        assert_eq!(outcome("FAILED"), (Outcome::Failed, "why it is so".into()));
        assert_eq!(outcome("COMPLETED").0, Outcome::Succeeded);
        assert_eq!(outcome("CANCELLED").0, Outcome::Cancelled);
        assert_eq!(seen(&run("SCHEDULED")).unwrap(), Seen::Waiting("Late".into()));
        assert!(matches!(seen(&run("CANCELLING")).unwrap(), Seen::Working { .. }));
        assert!(seen(&run("DREAMING")).is_err() && seen(&json!([])).is_err());
    }

    #[test]
    fn a_flow_gets_what_it_takes_and_nothing_is_dropped_in_silence() {
        let deployment = json!({ "parameter_openapi_schema": { "properties": { "repo": {}, "command": {} } } });
        let given = |map: Value| {
            let map = map.as_object().unwrap().clone();
            let dir = std::path::Path::new("/src/shop");
            let order =
                Order { key: "k", workflow: "w", repo: "shop", dir: Some(dir), target: "a/b", parameters: &map };
            parameters(&order, &deployment)
        };
        let taken = given(json!({ "command": "ls" })).unwrap();
        assert_eq!(Value::Object(taken), json!({ "command": "ls", "repo": "shop" }));
        assert!(given(json!({ "comand": "ls" })).unwrap_err().text().contains("takes no parameter 'comand'"));
    }
}

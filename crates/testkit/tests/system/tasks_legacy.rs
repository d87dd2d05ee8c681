//! Long runs for clients of revision 2025-11-25: progress, and questions as requests to the client.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::mcp::{StdioClient, initialized};
use testkit::{Orchestrator, eventually};

/// A client on pipes that can ask its person.
fn client(home: &testkit::TestHome) -> StdioClient {
    let mut client = StdioClient::start(&home.mahavishnu(["mcp", "start", "--transport", "stdio"]));
    // Whoever knows tasks of the next revision gets none by this one.
    let capabilities = json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities,
                        "clientInfo": { "name": "testkit", "version": "1" } });
    client.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello }));
    let answer = client.answer(1);
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
    assert!(answer["result"]["capabilities"].get("extensions").is_none(), "{answer}");
    client.send(&initialized());
    client
}

/// Calls a tool, answers what is asked meanwhile with `reply`, and gives the result, the questions and the progress.
fn call(client: &mut StdioClient, id: u64, arguments: Value, reply: &Value) -> (Value, Vec<Value>, Vec<f64>) {
    let params = json!({ "name": "sweep", "arguments": arguments, "_meta": { "progressToken": id } });
    client.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }));
    let (mut asked, mut progress) = (Vec::new(), Vec::new());
    loop {
        let message = client.receive();
        match message["method"].as_str() {
            Some("notifications/progress") => progress.extend(message["params"]["progress"].as_f64()),
            Some("elicitation/create") => {
                client.send(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": reply }));
                asked.push(message["params"].clone());
            }
            Some(_) => {}
            None => {
                assert_eq!(message["id"], id, "{message}");
                return (message["result"].clone(), asked, progress);
            }
        }
    }
}

#[test]
fn a_waiting_call_asks_its_client_and_tells_it_how_far_it_is() {
    let home = Orchestrator::home(&["core", "app"]);
    let mut client = client(&home);
    let sweep = json!({ "command": ["true"], "approve": "Go?", "wait": 30 });
    let yes = json!({ "action": "accept", "content": { "approve": true } });
    let (result, asked, progress) = call(&mut client, 2, sweep.clone(), &yes);
    assert_eq!((asked.len(), &asked[0]["message"]), (1, &json!("Go?")), "{asked:?}");
    assert_eq!(asked[0]["requestedSchema"]["properties"]["approve"]["type"], "boolean");
    assert_eq!(
        (&result["structuredContent"]["status"], &result["isError"]),
        (&json!("completed"), &json!(false)),
        "{result}"
    );
    assert!(result.get("resultType").is_none(), "a word of the next revision: {result}");
    assert!(progress.windows(2).all(|pair| pair[0] < pair[1]) && progress.last() == Some(&3.0), "{progress:?}");

    let (result, asked, _) = call(&mut client, 3, sweep.clone(), &json!({ "action": "decline" }));
    assert_eq!((asked.len(), &result["isError"]), (1, &json!(true)), "{result}");

    // Left open: the call ends, the workflow goes on waiting.
    let (result, asked, _) = call(&mut client, 4, sweep, &json!({ "action": "cancel" }));
    assert_eq!((asked.len(), &result["structuredContent"]["waiting_for_someone"]), (1, &json!(1)), "{result}");
    assert_eq!(result["isError"], false);
}

#[test]
fn a_question_that_is_answered_elsewhere_is_not_waited_for() {
    let home = Orchestrator::home(&["core"]);
    let mut client = client(&home);
    let params = json!({ "name": "sweep", "arguments": { "command": ["true"], "approve": "Go?", "wait": 30 } });
    client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params }));
    let asked = client.receive();
    assert_eq!(asked["method"], "elicitation/create", "{asked}");
    let listed = home.mahavishnu(["workflow", "list", "--format", "json"]).run().expect_success().json();
    let id = listed[0]["id"].as_str().unwrap();
    home.mahavishnu(["workflow", "approve", id]).run().expect_success();
    let result = eventually(Duration::from_secs(30), "the call's answer", || {
        let message = client.receive();
        (message["id"] == 2).then(|| message["result"].clone())
    });
    assert_eq!(result["structuredContent"]["status"], "completed", "{result}");
}

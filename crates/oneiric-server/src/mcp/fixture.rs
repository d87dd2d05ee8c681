//! What the protocol's conformance suite asks for, on top of a program's own tools, prompts and resources.
//!
//! The suite calls tools of fixed names that show every kind of content, ask the client back, report progress and so on. They
//! are served through the same endpoint, gate and token check as the program's own, which stay beside them in all lists, so
//! that the suite judges the stack that people use. Only a hidden command starts it.

#![expect(
    deprecated,
    reason = "sampling, log messages and subscriptions of revision 2025-11-25, which the suite looks at"
)]

mod asking;
mod content;
mod papers;

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult, CompletionInfo,
    DiscoverResult, ErrorData, GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult,
    InitializeRequestParams, InitializeResult, JsonObject, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
    Reference, ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter,
    Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::Handler;
use super::seal::Seal;
use super::sessions::Served;
use super::tool::ToolSet;
use super::visit::Reception;

/// A list that changed, as far as its readers are told.
#[derive(Clone, Copy, Debug)]
enum Changed {
    Tools,
    Prompts,
}

/// A program's handler with the suite's tools beside its own.
#[derive(Clone)]
pub struct Fixture {
    program: Handler,
    seal: Seal,
    changes: broadcast::Sender<Changed>,
}

impl Fixture {
    /// Adds to `program`.
    #[must_use]
    pub fn over(program: Handler) -> Self {
        Self { program, seal: Seal::fresh(), changes: broadcast::channel(16).0 }
    }
}

impl Served for Fixture {
    fn tools(&self) -> &Arc<dyn ToolSet> {
        self.program.tools()
    }

    fn reception(&self) -> Option<&Arc<dyn Reception>> {
        self.program.reception()
    }

    fn for_session(&self) -> Self {
        Self { program: self.program.for_session(), ..self.clone() }
    }
}

/// A tool of the suite.
fn described((name, properties): &(&'static str, Value)) -> Tool {
    let schema = match json!({ "type": "object", "properties": properties }) {
        Value::Object(map) => map,
        _ => JsonObject::new(),
    };
    Tool::new(*name, "Part of the conformance suite.", Arc::new(schema))
}

/// A value of the protocol, from JSON as the specification shows it.
fn of_json<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let mut info = self.program.get_info();
        let extensions = info.capabilities.extensions.take();
        info.capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        info.capabilities.extensions = extensions;
        info
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let own = content::tools().into_iter().chain(asking::tools()).find(|(known, _)| *known == name);
        own.as_ref().map(described).or_else(|| self.program.get_tool(name))
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let mut answer = self.program.initialize(request, context).await?;
        let extensions = answer.capabilities.extensions.take();
        answer.capabilities = self.get_info().capabilities;
        answer.capabilities.extensions = extensions;
        Ok(answer)
    }

    async fn discover(&self, context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let mut answer = self.program.discover(context).await?;
        answer.capabilities = self.get_info().capabilities;
        Ok(answer)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.program.on_initialized(context).await;
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut listed = self.program.list_tools(request, context).await?;
        listed.tools.extend(content::tools().iter().chain(&asking::tools()).map(described));
        Ok(listed)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match request.name.as_ref() {
            "test_trigger_tool_change" => {
                // Fails only when nobody listens.
                let _ = self.changes.send(Changed::Tools);
                content::said("done")
            }
            "test_trigger_prompt_change" => {
                let _ = self.changes.send(Changed::Prompts);
                content::said("done")
            }
            name if content::tools().iter().any(|(known, _)| *known == name) => content::call(&request, &context).await,
            name if asking::tools().iter().any(|(known, _)| *known == name) => {
                asking::call(&self.seal, &request, &context).await
            }
            _ => self.program.call_tool(request, context).await,
        }
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut listed = self.program.list_prompts(request, context).await?;
        listed.prompts.extend(papers::prompts()?);
        Ok(listed)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        match papers::prompt(&request)? {
            Some(answer) => Ok(answer),
            None => self.program.get_prompt(request, context).await,
        }
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut listed = self.program.list_resources(request, context).await?;
        listed.resources.extend(papers::resources()?);
        Ok(listed)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut listed = self.program.list_resource_templates(request, context).await?;
        listed.resource_templates.push(papers::template());
        Ok(listed)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match papers::read(&request.uri)? {
            Some(answer) => Ok(answer),
            None => self.program.read_resource(request, context).await,
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        if !matches!(&request.r#ref, Reference::Prompt(prompt) if prompt.name.starts_with("test_")) {
            return self.program.complete(request, context).await;
        }
        let known = ["paris", "park", "party"].into_iter().filter(|word| word.starts_with(&request.argument.value));
        let values = CompletionInfo::with_all_values(known.map(str::to_owned).collect())
            .map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(CompleteResult::new(values))
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.program.get_task(request, context).await
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.program.update_task(request, context).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.program.cancel_task(request, context).await
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        let sink = context.sink().clone();
        loop {
            let changed = tokio::select! {
                changed = changes.recv() => changed,
                () = context.cancelled() => return Ok(()),
                () = self.program.ends() => return Ok(()),
            };
            // What the listener did not ask for is refused by the sink.
            let _ = match changed {
                Ok(Changed::Tools) => sink.notify_tool_list_changed().await,
                Ok(Changed::Prompts) => sink.notify_prompt_list_changed().await,
                Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            };
        }
    }
}

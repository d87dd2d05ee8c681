//! The protocol library's server interface over a [`ToolSet`] and a [`Library`].

mod lasting;
mod presence;
mod reading;
mod tasks;

use std::sync::Arc;

use axum::http::request::Parts;
use oneiric::secret::Secret;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskMethod, CancelTaskParams,
    CompleteRequestParams, CompleteResult, CustomRequest, CustomResult, DiscoverResult, ErrorCode, ErrorData,
    GetPromptRequestParams, GetPromptResponse, GetTaskMethod, GetTaskParams, GetTaskResult, Implementation,
    InitializeRequestParams, InitializeResult, JsonObject, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, MetaObject, PaginatedRequestParams, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, TASKS_EXTENSION_ID, Tool,
    ToolAnnotations, UpdateTaskMethod, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::value::to_raw_value;
use tokio_util::sync::CancellationToken;

use super::library::Library;
use super::params;
use super::schema::for_list;
use super::seal::Seal;
use super::sessions::Served;
use super::tool::{Arguments, Effect, ToolDescription, ToolSet, unknown_tool};
use super::visit::{Connection, Guest, Pass, Reception, completed};
use crate::http::{Caller, Ending};
use lasting::{Call, Unanswered, caller};
use presence::Presence;

/// How a server presents itself to clients.
#[derive(Clone, Debug)]
pub struct ServerCard {
    /// Product name.
    pub name: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// A few sentences that tell a language model what the server is good for.
    pub instructions: &'static str,
}

/// Time for which a client may keep what changes only with the program, in milliseconds.
const FIXED_FRESH_MS: u64 = 3_600_000;

/// Answers one client; cheap to clone.
#[derive(Clone)]
pub struct Handler {
    card: Arc<ServerCard>,
    tools: Arc<dyn ToolSet>,
    listed: Arc<[Tool]>,
    library: Option<Arc<dyn Library>>,
    presence: Presence,
    seal: Seal,
    end: CancellationToken,
}

impl Handler {
    /// Serves `tools` under the name on `card`.
    #[must_use]
    pub fn new(card: ServerCard, tools: Arc<dyn ToolSet>) -> Self {
        let profile = tools.profile();
        let listed = tools.tools().iter().filter(|tool| tool.profile <= profile).map(listed).collect();
        Self {
            card: Arc::new(card),
            tools,
            listed,
            library: None,
            presence: Presence::default(),
            seal: Seal::fresh(),
            end: CancellationToken::new(),
        }
    }

    /// Offers prompts and resources too.
    #[must_use]
    pub fn with_library(self, library: Arc<dyn Library>) -> Self {
        Self { library: Some(library), ..self }
    }

    /// Lets what clients are given to give back outlive this process, for as long as `secret` stays the same.
    #[must_use]
    pub fn sealing_with(self, secret: &Secret) -> Self {
        Self { seal: Seal::of(secret), ..self }
    }

    /// Tells `reception` of clients that stay.
    #[must_use]
    pub fn with_reception(self, reception: Arc<dyn Reception>) -> Self {
        Self { presence: Presence::told_to(reception), ..self }
    }

    /// Lets no call wait for lasting work beyond `end`: it is answered with how the work stands then.
    #[must_use]
    pub fn until(self, end: CancellationToken) -> Self {
        Self { end, ..self }
    }

    /// A handler for one client that stays connected. The client has gone when the handler and its clones are dropped.
    #[must_use]
    pub fn for_connection(&self, connection: Connection) -> Self {
        Self { presence: self.presence.over(connection), ..self.clone() }
    }
}

impl Handler {
    /// Waits for the end of the server.
    pub(super) async fn ends(&self) {
        self.end.cancelled().await;
    }

    async fn made(
        &self,
        tool: &ToolDescription,
        request: &CallToolRequestParams,
        arguments: Arguments<'_>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Unanswered> {
        let tools = self.tools.as_ref();
        match (tool.lasting, tools.works()) {
            (Some(lasting), Some(works)) => {
                let call = Call { tools, works, tool, lasting, seal: &self.seal, context, end: &self.end };
                call.make(request, arguments.parse()?).await
            }
            _ => Ok(CallToolResult::structured(tools.call(tool.name, arguments, caller(context)).await?).into()),
        }
    }
}

impl Served for Handler {
    fn tools(&self) -> &Arc<dyn ToolSet> {
        &self.tools
    }

    fn reception(&self) -> Option<&Arc<dyn Reception>> {
        self.presence.reception()
    }

    fn for_session(&self) -> Self {
        self.for_connection(Connection::Http)
    }
}

fn listed(tool: &ToolDescription) -> Tool {
    let annotations = match tool.effect {
        Effect::Reads => ToolAnnotations::new().read_only(true),
        Effect::Adds => ToolAnnotations::new().destructive(false),
        Effect::AddsOnce => ToolAnnotations::new().destructive(false).idempotent(true),
        Effect::Deletes => ToolAnnotations::new().destructive(true).idempotent(true),
    };
    Tool::new(tool.name, tool.description, Arc::new(for_list(&tool.input, false)))
        .with_raw_output_schema(Arc::new(for_list(&tool.output, true)))
        .with_annotations(annotations.open_world(false))
}

/// Whether the client speaks a revision that knows cache hints.
fn is_current(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// The hint of a list that changes only with the program.
fn fixed(context: &RequestContext<RoleServer>) -> (Option<u64>, Option<CacheScope>) {
    if is_current(context) { (Some(FIXED_FRESH_MS), Some(CacheScope::Public)) } else { (None, None) }
}

/// What came with the HTTP request, if it came by one.
fn parts(context: &RequestContext<RoleServer>) -> Option<&Parts> {
    context.extensions.get::<Parts>()
}

/// The guest of a request without a connection.
fn passing(context: &RequestContext<RoleServer>) -> Option<Arc<dyn Guest>> {
    parts(context)?.extensions.get::<Pass>().map(|pass| Arc::clone(&pass.0))
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let tools = ServerCapabilities::builder().enable_tools();
        let mut capabilities = match &self.library {
            Some(_) => tools.enable_prompts().enable_resources().enable_completions().build(),
            None => tools.build(),
        };
        if self.tools.works().is_some() {
            capabilities.extensions.get_or_insert_default().insert(TASKS_EXTENSION_ID.into(), JsonObject::new());
        }
        ServerConfig::new(capabilities)
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
            .with_server_info(Implementation::new(self.card.name, self.card.version))
            .with_instructions(self.card.instructions)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.listed.iter().find(|tool| tool.name == name).cloned()
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let mut answer = self.negotiate_initialize(&request)?;
        // The one extension is one of revision 2026-07-28, which has no `initialize`.
        answer.capabilities.extensions = None;
        self.presence.begins(Some(&request.client_info), answer.protocol_version.as_str(), &context).await;
        context.peer.set_peer_info(request);
        Ok(answer)
    }

    async fn ping(&self, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        self.presence.heard(&context).await;
        Ok(())
    }

    async fn discover(&self, context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        self.presence.heard(&context).await;
        Ok(DiscoverResult::from_server_info(self.supported_protocol_versions().into_owned(), self.get_info()))
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.presence.ask_folders(&context.peer).await;
    }

    async fn on_roots_list_changed(&self, context: NotificationContext<RoleServer>) {
        self.presence.ask_folders(&context.peer).await;
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        self.presence.heard(&context).await;
        let mut result = ListToolsResult::with_all_items(self.listed.to_vec());
        (result.ttl_ms, result.cache_scope) = fixed(&context);
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.tools.find(&request.name) else {
            let (message, data) = unknown_tool(self.tools.as_ref(), &request.name);
            return Err(ErrorData::invalid_params(message, Some(data)));
        };
        // The door has judged this by what it read; the library may have read the message otherwise.
        if parts(&context).and_then(|parts| parts.extensions.get::<Caller>()).is_some_and(|who| !who.may(tool.scope)) {
            return Err(ErrorData::invalid_request(
                format!("the token lacks the scope '{}'", tool.scope.as_str()),
                None,
            ));
        }
        let guest = self.presence.heard(&context).await.or_else(|| passing(&context));
        if let Some(guest) = &guest {
            guest.called(tool.name);
        }
        let mut request = request;
        let arguments = Arguments::Parsed(request.arguments.take().unwrap_or_default());
        let call = async {
            let arguments = match &guest {
                Some(guest) => completed(guest.as_ref(), tool, arguments).await?,
                None => arguments,
            };
            self.made(tool, &request, arguments, &context).await
        };
        let answer = tokio::select! {
            answer = call => answer,
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled by the client", None)),
        };
        if let Some(ending) = parts(&context).and_then(|parts| parts.extensions.get::<Ending>()) {
            ending.tell(answer.as_ref().err().map(Unanswered::code));
        }
        let mut response = match answer {
            Ok(response) => response,
            Err(Unanswered::Tool(error)) => CallToolResult::structured_error(error.to_value()).into(),
            Err(Unanswered::Request(error)) => return Err(error),
        };
        if let CallToolResponse::Complete(result) = &mut response {
            result.meta = guest.and_then(|guest| guest.meta()).map(MetaObject);
        }
        Ok(response)
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        // The library takes parameters that it does not understand for a method that it does not know.
        let params = request.params.and_then(|params| to_raw_value(&params).ok());
        Err(match params::refused(&request.method, params.as_deref()) {
            // Where it is a method, its parameters were looked at before.
            Some(message) if request.method != "initialize" => ErrorData::invalid_params(message, None),
            _ => ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None),
        })
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let works = self.tools.works().ok_or_else(ErrorData::method_not_found::<GetTaskMethod>)?;
        tasks::get(works, &request.task_id, &context).await
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let works = self.tools.works().ok_or_else(ErrorData::method_not_found::<UpdateTaskMethod>)?;
        let told = tasks::update(works, &request.task_id, request.input_responses, &context).await;
        ended(&context, told)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let works = self.tools.works().ok_or_else(ErrorData::method_not_found::<CancelTaskMethod>)?;
        ended(&context, tasks::cancel(works, &request.task_id, &context).await)
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        self.presence.heard(&context).await;
        let mut result = reading::prompts(self.library.as_deref());
        (result.ttl_ms, result.cache_scope) = fixed(&context);
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.presence.heard(&context).await;
        reading::prompt(self.library.as_deref(), request).await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.presence.heard(&context).await;
        reading::resources(self.library.as_deref(), request.and_then(|page| page.cursor)).await
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.presence.heard(&context).await;
        let mut result = reading::templates(self.library.as_deref());
        (result.ttl_ms, result.cache_scope) = fixed(&context);
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.presence.heard(&context).await;
        reading::resource(self.library.as_deref(), request.uri).await
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        self.presence.heard(&context).await;
        reading::complete(self.library.as_deref(), request).await
    }
}

/// Tells the audit log how an act upon a task ended.
fn ended(context: &RequestContext<RoleServer>, told: Result<(), ErrorData>) -> Result<(), ErrorData> {
    if let Some(ending) = parts(context).and_then(|parts| parts.extensions.get::<Ending>()) {
        ending.tell(told.as_ref().err().map(|_| "refused"));
    }
    told
}

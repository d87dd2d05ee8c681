//! Prompts, resources and completion: from the protocol's words to a [`Library`]'s, and back.

use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, ErrorCode, ErrorData, GetPromptRequestParams,
    GetPromptResponse, GetPromptResult, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, Prompt,
    PromptArgument, PromptMessage, ReadResourceResponse, ReadResourceResult, Reference, Resource, ResourceContents,
    ResourceTemplate, Role,
};
use serde_json::json;

use crate::mcp::library::{Library, PromptDescription, Typing};
use crate::mcp::tool::ToolError;

pub(super) fn prompts(library: Option<&dyn Library>) -> ListPromptsResult {
    let described = library.map(Library::prompts).unwrap_or_default();
    ListPromptsResult::with_all_items(described.iter().map(listed).collect())
}

fn listed(prompt: &PromptDescription) -> Prompt {
    let argument = |argument: &crate::mcp::PromptParameter| {
        PromptArgument::new(argument.name).with_description(argument.description).with_required(argument.required)
    };
    Prompt::new(prompt.name, Some(prompt.description), Some(prompt.arguments.iter().map(argument).collect()))
}

pub(super) async fn prompt(
    library: Option<&dyn Library>,
    request: GetPromptRequestParams,
) -> Result<GetPromptResponse, ErrorData> {
    let known = library.map(Library::prompts).unwrap_or_default();
    let (Some(library), Some(prompt)) = (library, known.iter().find(|prompt| prompt.name == request.name)) else {
        let names: Vec<&str> = known.iter().map(|prompt| prompt.name).collect();
        let message = format!("Unknown prompt: {}", shown(&request.name));
        return Err(ErrorData::invalid_params(message, Some(json!({ "prompts": names }))));
    };
    let arguments = request.arguments.unwrap_or_default();
    if let Some(missing) = prompt.arguments.iter().find(|known| known.required && !arguments.contains_key(known.name)) {
        return Err(ErrorData::invalid_params(format!("missing argument '{}'", missing.name), None));
    }
    for (name, value) in &arguments {
        let names: Vec<&str> = prompt.arguments.iter().map(|argument| argument.name).collect();
        let refused = match (names.contains(&name.as_str()), value.is_string()) {
            (true, true) => continue,
            (true, false) => format!("argument '{name}' has to be a string"),
            (false, _) => format!("the prompt has no argument '{}'", shown(name)),
        };
        return Err(ErrorData::invalid_params(refused, Some(json!({ "arguments": names }))));
    }
    let text = library.prompt(prompt.name, arguments).await.map_err(|error| refusal(&error))?;
    let messages = vec![PromptMessage::new_text(Role::User, text)];
    Ok(GetPromptResult::new(messages).with_description(prompt.description).into())
}

pub(super) fn templates(library: Option<&dyn Library>) -> ListResourceTemplatesResult {
    let described = library.map(Library::templates).unwrap_or_default();
    let items = described.iter().map(|template| {
        ResourceTemplate::new(template.uri_template, template.name)
            .with_description(template.description)
            .with_mime_type(template.mime_type)
    });
    ListResourceTemplatesResult::with_all_items(items.collect())
}

pub(super) async fn resources(
    library: Option<&dyn Library>,
    cursor: Option<String>,
) -> Result<ListResourcesResult, ErrorData> {
    let Some(library) = library else { return Ok(ListResourcesResult::default()) };
    let page = library.resources(cursor.as_deref()).await.map_err(|error| refusal(&error))?;
    let items = page.resources.into_iter().map(|line| {
        Resource::new(line.uri, line.name).with_description(line.description).with_mime_type(line.mime_type)
    });
    let mut result = ListResourcesResult::with_all_items(items.collect());
    result.next_cursor = page.next;
    Ok(result)
}

pub(super) async fn resource(library: Option<&dyn Library>, uri: String) -> Result<ReadResourceResponse, ErrorData> {
    let missing = |why: &str| {
        ErrorData::resource_not_found(format!("Resource not found: {why}"), Some(json!({ "uri": shown(&uri) })))
    };
    let Some(library) = library else { return Err(missing("this server has none")) };
    match library.read(&uri).await {
        Ok(document) => {
            let contents = ResourceContents::text(document.text, uri).with_mime_type(document.mime_type);
            Ok(ReadResourceResult::new(vec![contents]).into())
        }
        Err(error) if error.code() == "not_found" => Err(missing(error.message())),
        Err(error) => Err(refusal(&error)),
    }
}

pub(super) async fn complete(
    library: Option<&dyn Library>,
    request: CompleteRequestParams,
) -> Result<CompleteResult, ErrorData> {
    let Some(library) = library else { return Ok(CompleteResult::default()) };
    let of = match &request.r#ref {
        Reference::Prompt(prompt) => Typing::Prompt(&prompt.name),
        Reference::Resource(template) => Typing::Template(&template.uri),
        _ => return Ok(CompleteResult::default()),
    };
    let typed = &request.argument;
    let mut found = library.suggest(of, &typed.name, &typed.value).await.map_err(|error| refusal(&error))?;
    let more = found.more || found.values.len() > CompletionInfo::MAX_VALUES;
    found.values.truncate(CompletionInfo::MAX_VALUES);
    let completion = CompletionInfo::with_pagination(found.values, None, more)
        .map_err(|error| ErrorData::internal_error(error, None))?;
    Ok(CompleteResult::new(completion))
}

/// A tool's error as one of the protocol, which has no other place for it here.
pub(super) fn refusal(error: &ToolError) -> ErrorData {
    let code = match error.code() {
        "not_found" | "invalid_arguments" | "invalid_request" => ErrorCode::INVALID_PARAMS,
        _ => ErrorCode::INTERNAL_ERROR,
    };
    ErrorData::new(code, error.message().to_owned(), Some(error.to_value()))
}

/// What a client sent, short enough to be said back.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(256).collect()
}

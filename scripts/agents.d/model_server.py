"""A language model that says what it was told, behind the interfaces of four vendors.

Usage: model_server.py PORT LOG

Anthropic's messages, OpenAI's responses and chat completions, Google's generateContent; streamed or not. Every answer
counts as 100 tokens read and 7 written. What the last message of the user says decides: `fail` is answered by an error,
`spend` by the call of a tool, again and again, everything else by an echo of its last line. Each request is a line of LOG.
"""

import http.server
import json
import sys
import uuid

READ, WRITTEN = 100, 7
LOG = open(sys.argv[2], "a", buffering=1)


def texts(content):
    """All texts of a message's content, whichever way it is written."""
    if isinstance(content, str):
        return [content]
    return [part.get("text") or "" for part in content or [] if isinstance(part, dict)]


def last_line(all_texts):
    lines = [line for text in all_texts for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def asked(messages, role="role", content="content", user="user"):
    """What the user said: words of the program itself come in tags."""
    said = []
    for message in messages:
        if message.get(role) == user:
            said += [text for text in texts(message.get(content)) if not text.lstrip().startswith("<")]
    return last_line(said)


def named(tools, *names):
    known = [tool.get("name") or tool.get("function", {}).get("name") for tool in tools]
    return next((name for name in names if name in known), None)


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        LOG.write(f"GET {self.path}\n")
        self.answer(200, {"data": [], "models": [], "object": "list"})

    def do_HEAD(self):
        self.answer(200, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("transfer-encoding") == "chunked":
            body = self.chunks()
        LOG.write(f"POST {self.path} {len(body)}\n")
        try:
            body = json.loads(body)
        except ValueError:
            body = {}
        path = self.path.split("?")[0]
        if path.endswith("/messages/count_tokens"):
            return self.answer(200, {"input_tokens": READ})
        for ending, made in (
            ("/messages", self.anthropic),
            ("/responses", self.openai),
            ("/chat/completions", self.chat),
            (":generateContent", self.google),
            (":streamGenerateContent", self.google),
        ):
            if path.endswith(ending):
                return made(body)
        self.answer(404, {"error": {"type": "not_found_error", "message": f"no {path}"}})

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, events, named_events=True, done=False):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in events:
            name = f"event: {event['type']}\n" if named_events else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        if done:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def fail(self, prompt):
        self.answer(400, {"error": {"type": "invalid_request_error", "code": 400, "message": f"the model refuses: {prompt}"}})

    def anthropic(self, body):
        prompt = asked(body.get("messages", []))
        LOG.write(f"  prompt {prompt!r}\n")
        if "fail" in prompt:
            return self.fail(prompt)
        tool = named(body.get("tools", []), "Bash") if "spend" in prompt else None
        if tool:
            block = {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": tool, "input": {"command": "true"}}
        else:
            block = {"type": "text", "text": f"echo: {prompt}"}
        usage = {"input_tokens": READ, "output_tokens": WRITTEN, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        message = {
            "id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": body.get("model"),
            "content": [block], "stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None, "usage": usage,
        }
        if not body.get("stream"):
            return self.answer(200, message)
        if tool:
            begin = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        else:
            begin = {**block, "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        self.stream([
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": begin},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ])

    def openai(self, body):
        prompt = asked(body.get("input", []))
        LOG.write(f"  prompt {prompt!r} tools {[tool.get('name') for tool in body.get('tools', [])]}\n")
        if "fail" in prompt:
            return self.fail(prompt)
        known = body.get("tools", [])
        tool = named(known, "shell", "exec_command", "shell_command") if "spend" in prompt else None
        if tool:
            command = {"shell": {"command": ["true"]}, "exec_command": {"cmd": "true"}}.get(tool, {"command": "true"})
            item = {
                "type": "function_call", "id": f"fc_{uuid.uuid4().hex}", "call_id": f"call_{uuid.uuid4().hex}", "name": tool,
                "arguments": json.dumps(command), "status": "completed",
            }
        else:
            item = {
                "type": "message", "id": f"msg_{uuid.uuid4().hex}", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": f"echo: {prompt}", "annotations": []}],
            }
        response = {"id": f"resp_{uuid.uuid4().hex}", "object": "response", "model": body.get("model"), "status": "in_progress", "output": []}
        usage = {
            "input_tokens": READ, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": WRITTEN,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": READ + WRITTEN,
        }
        self.stream([
            {"type": "response.created", "response": response},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {**response, "status": "completed", "output": [item], "usage": usage}},
        ])

    def chat(self, body):
        prompt = asked(body.get("messages", []))
        LOG.write(f"  prompt {prompt!r}\n")
        if "fail" in prompt:
            return self.fail(prompt)
        tool = named(body.get("tools", []), "glob") if "spend" in prompt else None
        if tool:
            # Agents notice when the same call comes again and again.
            arguments = {"pattern": f"*{uuid.uuid4().hex}"}
            delta = {"role": "assistant", "content": None, "tool_calls": [{
                "index": 0, "id": f"call_{uuid.uuid4().hex}", "type": "function",
                "function": {"name": tool, "arguments": json.dumps(arguments)},
            }]}
        else:
            delta = {"role": "assistant", "content": f"echo: {prompt}"}
        usage = {"prompt_tokens": READ, "completion_tokens": WRITTEN, "total_tokens": READ + WRITTEN}
        whole = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": 1, "model": body.get("model")}
        finish = "tool_calls" if tool else "stop"
        if not body.get("stream"):
            choice = {"index": 0, "message": delta, "finish_reason": finish}
            return self.answer(200, {**whole, "object": "chat.completion", "choices": [choice], "usage": usage})
        part = {**whole, "object": "chat.completion.chunk"}
        self.stream([
            {**part, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {**part, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
            {**part, "choices": [], "usage": usage},
        ], named_events=False, done=True)

    def google(self, body):
        prompt = asked(body.get("contents", []), content="parts")
        LOG.write(f"  prompt {prompt!r}\n")
        if "fail" in prompt:
            return self.fail(prompt)
        tools = [each for tool in body.get("tools", []) for each in tool.get("functionDeclarations", [])]
        tool = named(tools, "glob") if "spend" in prompt else None
        part = {"functionCall": {"name": tool, "args": {"pattern": f"*{uuid.uuid4().hex}"}}} if tool else {"text": f"echo: {prompt}"}
        found = {
            "candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": READ, "candidatesTokenCount": WRITTEN, "totalTokenCount": READ + WRITTEN},
            "modelVersion": "stand-in", "responseId": uuid.uuid4().hex,
        }
        if ":streamGenerateContent" in self.path:
            return self.stream([found], named_events=False)
        self.answer(200, found)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Model).serve_forever()

// Passes requests on to a server and adds the token that the conformance suite cannot send; everything else stays as it is.
// Usage: node with-token.mjs PORT-OF-SERVER TOKEN; prints its own port.
import http from "node:http";

const [, , port, token] = process.argv;
const server = http.createServer((incoming, answer) => {
  const headers = { ...incoming.headers, authorization: `Bearer ${token}` };
  const outgoing = http.request(
    { host: "127.0.0.1", port, method: incoming.method, path: incoming.url, headers },
    (reply) => {
      answer.writeHead(reply.statusCode, reply.headers);
      reply.pipe(answer);
    },
  );
  outgoing.on("error", () => answer.destroy());
  answer.on("close", () => outgoing.destroy());
  incoming.pipe(outgoing);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

// Chats through the OpenAI SDK for Node: npm install openai, then  node chat.mjs
// The server is at AGENTRT_URL (http://127.0.0.1:8080).
import OpenAI from "openai";

const url = process.env.AGENTRT_URL ?? "http://127.0.0.1:8080";
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none is needed" });

const stream = await client.chat.completions.create({
  model: "default",
  messages: [{ role: "user", content: "Use the echo tool to say: Hello" }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
process.stdout.write("\n");

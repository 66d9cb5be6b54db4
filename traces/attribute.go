package traces

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// The names of the conventions for generative AI (open-telemetry/semantic-conventions-genai, in development: no version of
// them is frozen) and, from understudy. on, our own.
const (
	operation           = attribute.Key("gen_ai.operation.name")
	agentName           = attribute.Key("gen_ai.agent.name")
	conversation        = attribute.Key("gen_ai.conversation.id")
	requestModel        = attribute.Key("gen_ai.request.model")
	responseModel       = attribute.Key("gen_ai.response.model")
	inputTokens         = attribute.Key("gen_ai.usage.input_tokens")
	outputTokens        = attribute.Key("gen_ai.usage.output_tokens")
	cacheReadTokens     = attribute.Key("gen_ai.usage.cache_read.input_tokens")
	cacheCreationTokens = attribute.Key("gen_ai.usage.cache_creation.input_tokens")
	inputMessages       = attribute.Key("gen_ai.input.messages")
	outputMessages      = attribute.Key("gen_ai.output.messages")
	toolName            = attribute.Key("gen_ai.tool.name")
	toolCall            = attribute.Key("gen_ai.tool.call.id")
	toolType            = attribute.Key("gen_ai.tool.type")
	toolArguments       = attribute.Key("gen_ai.tool.call.arguments")
	toolResult          = attribute.Key("gen_ai.tool.call.result")
	errorType           = attribute.Key("error.type")

	generation = attribute.Key("understudy.generation")
	turnNumber = attribute.Key("understudy.turn")
	ownTurn    = attribute.Key("understudy.own_turn")
	costUSD    = attribute.Key("understudy.cost_usd")
	decision   = attribute.Key("understudy.decision")
	decidedBy  = attribute.Key("understudy.decided_by")
	linkKind   = attribute.Key("understudy.link")
	exitReason = attribute.Key("understudy.exit")
)

var provider = attribute.String("gen_ai.provider.name", "anthropic")

// cut shortens a text to at most n bytes, at the end of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

package protocol

// Retracted are the ids (UUID) of the messages that a message takes back: of a model that would not answer, so that another
// one answers instead, or of a tool call that could not be read. Who shows text while it comes removes it then. Nearly all
// messages take none back. An id may come twice, and may be of a message that was never there.
func Retracted(m Message) []string {
	switch m := m.(type) {
	case *Assistant:
		if m.Details != nil {
			return m.Details.Supersedes
		}
		return nil
	case *ModelRefusalFallback:
		return m.RetractedMessageUUIDs
	default:
		return nil
	}
}

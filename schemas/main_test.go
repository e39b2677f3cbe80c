package schemas_test

import (
	"fmt"
	"os"
	"testing"
)

// rapid names a generator when it is first put into another, and tests that run in parallel would do so at the same time.
func TestMain(m *testing.M) {
	for _, g := range []fmt.Stringer{genID, genWord, genText, genTime, genConsent, genMember, genConversation, genOrigin, genContext, genEnvelope, genAnswerCause, genRequestText} {
		_ = g.String()
	}
	os.Exit(m.Run())
}

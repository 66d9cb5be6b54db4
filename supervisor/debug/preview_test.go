package debug
import ("testing";"net";"os")
func TestPreview(t *testing.T) {
	if os.Getenv("PREVIEW")=="" { t.Skip() }
	l, err := net.Listen("tcp","127.0.0.1:17070"); if err!=nil {t.Fatal(err)}
	NewServer(fixed(newFake(), Options{Version:"v0.1.0"})).Serve(l)
}

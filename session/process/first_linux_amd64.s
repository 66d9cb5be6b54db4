#include "textflag.h"

// The first process of a pid namespace: see first_linux_amd64.go, which has the layout of its order, writes the lists of system
// calls that it makes, and puts this code into a file of its own. Nothing of Go is there when it runs: no stack is used, no
// function is called, and everything is either in a register or in the order.
//
//	R13  the order
//	R12  the next call of a list, or where the next bytes of the order go
//	R15  the CLI's pid

#define ORDER       0x10000000
#define SIZE        0(R13)
#define SETUP       8(R13)
#define CHILD       16(R13)
#define AFTER       24(R13)
#define PROBE       32(R13)
#define KIND        64(R13)
#define FIRST       65(R13)
#define SECOND      69(R13)
#define SOCKETREADY 86(R13)
#define SIGNALFD    88(R13)
#define SIGNALREADY 94(R13)
#define MESSAGE     96(R13)
#define RIGHTS      152(R13)
#define PIDFD       240(R13)
#define FAILURE     248(R13)
#define SIGNALS     256(R13)
#define BUFFER      264(R13)
#define CAPACITY    $0x800000

#define SYS_read        $0
#define SYS_poll        $7
#define SYS_close       $3
#define SYS_sendmsg     $46
#define SYS_clone       $56
#define SYS_wait4       $61
#define SYS_kill        $62
#define SYS_prctl       $157
#define SYS_exit_group  $231
#define SYS_signalfd4   $289

// What SYSCALL returns from here on is an error.
#define ERRORS $-4095

// The whole of it, from its first byte on.
TEXT firstProcess<>(SB), NOSPLIT|NOFRAME, $0-0
	// The order holds the key: no tool is to trace this process, nor read its memory. (PR_SET_DUMPABLE)
	MOVQ SYS_prctl, AX
	MOVQ $4, DI
	XORQ SI, SI
	XORQ DX, DX
	XORQ R10, R10
	XORQ R8, R8
	SYSCALL

	MOVQ $ORDER, R13
	MOVQ R13, R12
read:
	MOVQ SYS_read, AX
	MOVQ $3, DI
	MOVQ R12, SI
	MOVQ CAPACITY, DX
	ADDQ R13, DX
	SUBQ R12, DX
	SYSCALL
	CMPQ AX, $0
	JLE  gone
	ADDQ AX, R12
	MOVQ R12, DX
	SUBQ R13, DX
	CMPQ DX, $8
	JCS  read
	CMPQ DX, SIZE
	JCS  read

	// What the namespace and the CLI need, in a list of system calls.
	MOVQ SETUP, R12
setup:
	MOVQ 0(R12), AX
	CMPQ AX, $-1
	JEQ  prepared
	MOVQ 8(R12), DI
	MOVQ 16(R12), SI
	MOVQ 24(R12), DX
	MOVQ 32(R12), R10
	MOVQ 40(R12), R8
	MOVQ 48(R12), R9
	SYSCALL
	CMPQ AX, ERRORS
	JCS  worked
	MOVQ 56(R12), DX
	CMPQ DX, $-1
	JNE  failed
worked:
	ADDQ $64, R12
	JMP  setup

prepared:
	CMPQ PROBE, $0
	JNE  probed

	// Signals are blocked, and read from a descriptor.
	MOVQ SYS_signalfd4, AX
	MOVQ $-1, DI
	LEAQ SIGNALS, SI
	MOVQ $8, DX
	MOVQ $0x80000, R10
	SYSCALL
	XORQ DX, DX
	CMPQ AX, ERRORS
	JCC  failed
	MOVL AX, SIGNALFD

	// The CLI. Until it is executed it has this process's memory, and this process waits.
	// (CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD)
	MOVQ SYS_clone, AX
	MOVQ $0x5111, DI
	XORQ SI, SI
	LEAQ PIDFD, DX
	XORQ R10, R10
	XORQ R8, R8
	SYSCALL
	CMPQ AX, $0
	JEQ  child
	MOVQ $3, DX // the step
	CMPQ AX, ERRORS
	JCC  failed
	MOVQ AX, R15
	MOVQ FAILURE, AX
	CMPQ AX, $0
	JNE  failed

	// The CLI's pipes are to end with the CLI and its tools.
	MOVQ AFTER, R12
after:
	MOVQ 0(R12), AX
	CMPQ AX, $-1
	JEQ  started
	MOVQ 8(R12), DI
	SYSCALL
	ADDQ $64, R12
	JMP  after

started:
	MOVB $0x50, KIND // P
	MOVL R15, FIRST
	MOVL $0, SECOND
	MOVQ SYS_sendmsg, AX
	MOVQ $3, DI
	LEAQ RIGHTS, SI
	MOVQ $0x4000, DX // MSG_NOSIGNAL
	SYSCALL
	CMPQ AX, ERRORS
	JCC  gone
	MOVQ SYS_close, AX
	MOVL PIDFD, DI
	SYSCALL

wait:
	MOVQ SYS_poll, AX
	LEAQ 80(R13), DI
	MOVQ $2, SI
	MOVQ $-1, DX
	SYSCALL
	CMPQ AX, ERRORS
	JCC  wait
	CMPW SIGNALREADY, $0
	JEQ  told

	MOVQ SYS_read, AX
	MOVL SIGNALFD, DI
	LEAQ BUFFER, SI
	MOVQ $128, DX
	SYSCALL
	CMPQ AX, $128
	JNE  told
	MOVL BUFFER, R12
	CMPL R12, $17 // SIGCHLD
	JNE  send

	// Whatever has ended, until there is nothing more, or the CLI has: the namespace ends with it.
reap:
	MOVQ SYS_wait4, AX
	MOVQ $-1, DI
	LEAQ FIRST, SI
	MOVQ $1, DX // WNOHANG
	XORQ R10, R10
	SYSCALL
	CMPQ AX, $0
	JLE  told
	CMPQ AX, R15
	JNE  reap
	MOVB $0x58, KIND // X
	JMP  report

told:
	CMPW SOCKETREADY, $0
	JEQ  wait
	MOVQ SYS_read, AX
	MOVQ $3, DI
	LEAQ BUFFER, SI
	MOVQ $1, DX
	SYSCALL
	CMPQ AX, $1
	JNE  gone // the runtime is, or has let go
	MOVBLZX BUFFER, R12
	CMPL R12, $0
	JEQ  wait

	// To the CLI's process group; to itself, if it has left that.
send:
	MOVQ SYS_kill, AX
	MOVQ R15, DI
	NEGQ DI
	MOVL R12, SI
	SYSCALL
	CMPQ AX, ERRORS
	JCS  wait
	MOVQ SYS_kill, AX
	MOVQ R15, DI
	MOVL R12, SI
	SYSCALL
	JMP  wait

	// Becomes the CLI.
child:
	MOVQ CHILD, R12
become:
	MOVQ 0(R12), AX
	MOVQ 8(R12), DI
	MOVQ 16(R12), SI
	MOVQ 24(R12), DX
	MOVQ 32(R12), R10
	SYSCALL
	ADDQ $64, R12
	CMPQ AX, ERRORS
	JCS  become
	MOVQ AX, FAILURE
	JMP  end

	// AX is an error, DX the step that it is from.
failed:
	NEGQ AX
	MOVB $0x45, KIND // E
	MOVL AX, FIRST
	MOVL DX, SECOND
	JMP  report
probed:
	MOVB $0x50, KIND
report:
	MOVQ SYS_sendmsg, AX
	MOVQ $3, DI
	LEAQ MESSAGE, SI
	MOVQ $0x4000, DX
	SYSCALL
gone:
end:
	MOVQ SYS_exit_group, AX
	XORQ DI, DI
	SYSCALL
	JMP  end

	// By this its end is found.
	BYTE $0x0f; BYTE $0x0b; BYTE $0x0f; BYTE $0x0b
	BYTE $0x0f; BYTE $0x0b; BYTE $0x0f; BYTE $0x0b
	BYTE $0x0f; BYTE $0x0b; BYTE $0x0f; BYTE $0x0b
	BYTE $0x0f; BYTE $0x0b; BYTE $0x0f; BYTE $0x0b

// func firstProcessAt() unsafe.Pointer
TEXT ·firstProcessAt(SB), NOSPLIT, $0-8
	LEAQ firstProcess<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

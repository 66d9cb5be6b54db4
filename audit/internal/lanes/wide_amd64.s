#include "textflag.h"

// SHA-256 (FIPS 180-4) of sixteen messages: Z16 to Z23 are the working variables a to h, Z0 to Z15 the last sixteen words of the
// message schedule, each with one 32-bit number for each message. VPTERNLOGD is any function of three bits: 0x96 their
// sum, 0xCA a choice, 0xE8 the majority.

// pairs interleaves the words of two messages, halves those of four: what they give has, in each 128 bits, the words N of
// four messages.
#define pairs(A, B, LOW, HIGH) \
	VPUNPCKLDQ B, A, LOW              \
	VPUNPCKHDQ B, A, HIGH

#define halves(A, B, LOW, HIGH) \
	VPUNPCKLQDQ B, A, LOW             \
	VPUNPCKHQDQ B, A, HIGH

// fours brings the same words of four times four messages together.
#define fours(A, B, C, D, V0, V1, V2, V3) \
	VSHUFI32X4 $0x88, B, A, V0        \
	VSHUFI32X4 $0xDD, B, A, V1        \
	VSHUFI32X4 $0x88, D, C, V2        \
	VSHUFI32X4 $0xDD, D, C, V3

#define spread(V0, V1, V2, V3, W0, W4, W8, W12) \
	VSHUFI32X4 $0x88, V2, V0, W0      \
	VSHUFI32X4 $0xDD, V2, V0, W8      \
	VSHUFI32X4 $0x88, V3, V1, W4      \
	VSHUFI32X4 $0xDD, V3, V1, W12

// round is one of the 64, with the constant at K(R8).
#define round(A, B, C, D, E, F, G, H, W, K) \
	VPADDD W, H, H                    \
	VPRORD $6, E, Z24                 \
	VPRORD $11, E, Z25                \
	VPRORD $25, E, Z26                \
	VPADDD.BCST K(R8), H, H           \
	VMOVDQA32 E, Z27                  \
	VPTERNLOGD $0x96, Z24, Z25, Z26   \
	VPTERNLOGD $0xCA, G, F, Z27       \
	VPADDD Z26, H, H                  \
	VPRORD $2, A, Z24                 \
	VPRORD $13, A, Z25                \
	VPADDD Z27, H, H                  \
	VPRORD $22, A, Z26                \
	VMOVDQA32 A, Z27                  \
	VPADDD H, D, D                    \
	VPTERNLOGD $0x96, Z24, Z25, Z26   \
	VPTERNLOGD $0xE8, C, B, Z27       \
	VPADDD Z26, H, H                  \
	VPADDD Z27, H, H

// schedule makes of the word W0 the one sixteen places on.
#define schedule(W0, W1, W9, W14) \
	VPRORD $7, W1, Z24                \
	VPRORD $18, W1, Z25               \
	VPSRLD $3, W1, Z26                \
	VPADDD W9, W0, W0                 \
	VPTERNLOGD $0x96, Z24, Z25, Z26   \
	VPRORD $17, W14, Z24              \
	VPRORD $19, W14, Z25              \
	VPADDD Z26, W0, W0                \
	VPSRLD $10, W14, Z27              \
	VPTERNLOGD $0x96, Z24, Z25, Z27   \
	VPADDD Z27, W0, W0

#define scheduled(A, B, C, D, E, F, G, H, W0, W1, W9, W14, K) \
	schedule(W0, W1, W9, W14)         \
	round(A, B, C, D, E, F, G, H, W0, K)

// func blocks(state *[8][16]uint32, next *[16]unsafe.Pointer, n int)
TEXT ·blocks(SB), NOSPLIT, $0-24
	MOVQ state+0(FP), DI
	MOVQ next+8(FP), SI
	MOVQ n+16(FP), CX
	TESTQ CX, CX
	JLE done
	XORQ BX, BX

block:
	// The block of each message, in big-endian words, then the words by their place in it. Gathering them is one
	// instruction for eight, and took twice as long as all the rounds where it was measured.
	LEAQ constants<>(SB), R8
	VBROADCASTI32X4 order<>(SB), Z31
	MOVQ 0(SI), R9
	VMOVDQU64 (R9)(BX*1), Z0
	VPSHUFB Z31, Z0, Z0
	MOVQ 8(SI), R9
	VMOVDQU64 (R9)(BX*1), Z1
	VPSHUFB Z31, Z1, Z1
	MOVQ 16(SI), R9
	VMOVDQU64 (R9)(BX*1), Z2
	VPSHUFB Z31, Z2, Z2
	MOVQ 24(SI), R9
	VMOVDQU64 (R9)(BX*1), Z3
	VPSHUFB Z31, Z3, Z3
	MOVQ 32(SI), R9
	VMOVDQU64 (R9)(BX*1), Z4
	VPSHUFB Z31, Z4, Z4
	MOVQ 40(SI), R9
	VMOVDQU64 (R9)(BX*1), Z5
	VPSHUFB Z31, Z5, Z5
	MOVQ 48(SI), R9
	VMOVDQU64 (R9)(BX*1), Z6
	VPSHUFB Z31, Z6, Z6
	MOVQ 56(SI), R9
	VMOVDQU64 (R9)(BX*1), Z7
	VPSHUFB Z31, Z7, Z7
	MOVQ 64(SI), R9
	VMOVDQU64 (R9)(BX*1), Z8
	VPSHUFB Z31, Z8, Z8
	MOVQ 72(SI), R9
	VMOVDQU64 (R9)(BX*1), Z9
	VPSHUFB Z31, Z9, Z9
	MOVQ 80(SI), R9
	VMOVDQU64 (R9)(BX*1), Z10
	VPSHUFB Z31, Z10, Z10
	MOVQ 88(SI), R9
	VMOVDQU64 (R9)(BX*1), Z11
	VPSHUFB Z31, Z11, Z11
	MOVQ 96(SI), R9
	VMOVDQU64 (R9)(BX*1), Z12
	VPSHUFB Z31, Z12, Z12
	MOVQ 104(SI), R9
	VMOVDQU64 (R9)(BX*1), Z13
	VPSHUFB Z31, Z13, Z13
	MOVQ 112(SI), R9
	VMOVDQU64 (R9)(BX*1), Z14
	VPSHUFB Z31, Z14, Z14
	MOVQ 120(SI), R9
	VMOVDQU64 (R9)(BX*1), Z15
	VPSHUFB Z31, Z15, Z15

	pairs(Z0, Z1, Z16, Z17)
	pairs(Z2, Z3, Z18, Z19)
	pairs(Z4, Z5, Z20, Z21)
	pairs(Z6, Z7, Z22, Z23)
	pairs(Z8, Z9, Z24, Z25)
	pairs(Z10, Z11, Z26, Z27)
	pairs(Z12, Z13, Z28, Z29)
	pairs(Z14, Z15, Z30, Z31)
	halves(Z16, Z18, Z0, Z1)
	halves(Z17, Z19, Z2, Z3)
	halves(Z20, Z22, Z4, Z5)
	halves(Z21, Z23, Z6, Z7)
	halves(Z24, Z26, Z8, Z9)
	halves(Z25, Z27, Z10, Z11)
	halves(Z28, Z30, Z12, Z13)
	halves(Z29, Z31, Z14, Z15)
	fours(Z0, Z4, Z8, Z12, Z16, Z17, Z18, Z19)
	fours(Z1, Z5, Z9, Z13, Z20, Z21, Z22, Z23)
	fours(Z2, Z6, Z10, Z14, Z24, Z25, Z26, Z27)
	fours(Z3, Z7, Z11, Z15, Z28, Z29, Z30, Z31)
	spread(Z16, Z17, Z18, Z19, Z0, Z4, Z8, Z12)
	spread(Z20, Z21, Z22, Z23, Z1, Z5, Z9, Z13)
	spread(Z24, Z25, Z26, Z27, Z2, Z6, Z10, Z14)
	spread(Z28, Z29, Z30, Z31, Z3, Z7, Z11, Z15)

	VMOVDQU32 0(DI), Z16
	VMOVDQU32 64(DI), Z17
	VMOVDQU32 128(DI), Z18
	VMOVDQU32 192(DI), Z19
	VMOVDQU32 256(DI), Z20
	VMOVDQU32 320(DI), Z21
	VMOVDQU32 384(DI), Z22
	VMOVDQU32 448(DI), Z23

	round(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z0, 0)
	round(Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z1, 4)
	round(Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z2, 8)
	round(Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z3, 12)
	round(Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z4, 16)
	round(Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z5, 20)
	round(Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z6, 24)
	round(Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z7, 28)
	round(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z8, 32)
	round(Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z9, 36)
	round(Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z10, 40)
	round(Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z11, 44)
	round(Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z12, 48)
	round(Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z13, 52)
	round(Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z14, 56)
	round(Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z15, 60)

	MOVQ $3, DX

rounds:
	ADDQ $64, R8
	scheduled(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z0, Z1, Z9, Z14, 0)
	scheduled(Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z1, Z2, Z10, Z15, 4)
	scheduled(Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z2, Z3, Z11, Z0, 8)
	scheduled(Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z3, Z4, Z12, Z1, 12)
	scheduled(Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z4, Z5, Z13, Z2, 16)
	scheduled(Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z5, Z6, Z14, Z3, 20)
	scheduled(Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z6, Z7, Z15, Z4, 24)
	scheduled(Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z7, Z8, Z0, Z5, 28)
	scheduled(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z8, Z9, Z1, Z6, 32)
	scheduled(Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z9, Z10, Z2, Z7, 36)
	scheduled(Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z21, Z10, Z11, Z3, Z8, 40)
	scheduled(Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z20, Z11, Z12, Z4, Z9, 44)
	scheduled(Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z19, Z12, Z13, Z5, Z10, 48)
	scheduled(Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z18, Z13, Z14, Z6, Z11, 52)
	scheduled(Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z17, Z14, Z15, Z7, Z12, 56)
	scheduled(Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z16, Z15, Z0, Z8, Z13, 60)
	DECQ DX
	JNZ rounds

	VPADDD 0(DI), Z16, Z16
	VPADDD 64(DI), Z17, Z17
	VPADDD 128(DI), Z18, Z18
	VPADDD 192(DI), Z19, Z19
	VPADDD 256(DI), Z20, Z20
	VPADDD 320(DI), Z21, Z21
	VPADDD 384(DI), Z22, Z22
	VPADDD 448(DI), Z23, Z23
	VMOVDQU32 Z16, 0(DI)
	VMOVDQU32 Z17, 64(DI)
	VMOVDQU32 Z18, 128(DI)
	VMOVDQU32 Z19, 192(DI)
	VMOVDQU32 Z20, 256(DI)
	VMOVDQU32 Z21, 320(DI)
	VMOVDQU32 Z22, 384(DI)
	VMOVDQU32 Z23, 448(DI)
	ADDQ $64, BX
	DECQ CX
	JNZ block
	VZEROUPPER

done:
	RET

DATA order<>+0(SB)/8, $0x0405060700010203
DATA order<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL order<>(SB), RODATA|NOPTR, $16

DATA constants<>+0(SB)/4, $0x428a2f98
DATA constants<>+4(SB)/4, $0x71374491
DATA constants<>+8(SB)/4, $0xb5c0fbcf
DATA constants<>+12(SB)/4, $0xe9b5dba5
DATA constants<>+16(SB)/4, $0x3956c25b
DATA constants<>+20(SB)/4, $0x59f111f1
DATA constants<>+24(SB)/4, $0x923f82a4
DATA constants<>+28(SB)/4, $0xab1c5ed5
DATA constants<>+32(SB)/4, $0xd807aa98
DATA constants<>+36(SB)/4, $0x12835b01
DATA constants<>+40(SB)/4, $0x243185be
DATA constants<>+44(SB)/4, $0x550c7dc3
DATA constants<>+48(SB)/4, $0x72be5d74
DATA constants<>+52(SB)/4, $0x80deb1fe
DATA constants<>+56(SB)/4, $0x9bdc06a7
DATA constants<>+60(SB)/4, $0xc19bf174
DATA constants<>+64(SB)/4, $0xe49b69c1
DATA constants<>+68(SB)/4, $0xefbe4786
DATA constants<>+72(SB)/4, $0x0fc19dc6
DATA constants<>+76(SB)/4, $0x240ca1cc
DATA constants<>+80(SB)/4, $0x2de92c6f
DATA constants<>+84(SB)/4, $0x4a7484aa
DATA constants<>+88(SB)/4, $0x5cb0a9dc
DATA constants<>+92(SB)/4, $0x76f988da
DATA constants<>+96(SB)/4, $0x983e5152
DATA constants<>+100(SB)/4, $0xa831c66d
DATA constants<>+104(SB)/4, $0xb00327c8
DATA constants<>+108(SB)/4, $0xbf597fc7
DATA constants<>+112(SB)/4, $0xc6e00bf3
DATA constants<>+116(SB)/4, $0xd5a79147
DATA constants<>+120(SB)/4, $0x06ca6351
DATA constants<>+124(SB)/4, $0x14292967
DATA constants<>+128(SB)/4, $0x27b70a85
DATA constants<>+132(SB)/4, $0x2e1b2138
DATA constants<>+136(SB)/4, $0x4d2c6dfc
DATA constants<>+140(SB)/4, $0x53380d13
DATA constants<>+144(SB)/4, $0x650a7354
DATA constants<>+148(SB)/4, $0x766a0abb
DATA constants<>+152(SB)/4, $0x81c2c92e
DATA constants<>+156(SB)/4, $0x92722c85
DATA constants<>+160(SB)/4, $0xa2bfe8a1
DATA constants<>+164(SB)/4, $0xa81a664b
DATA constants<>+168(SB)/4, $0xc24b8b70
DATA constants<>+172(SB)/4, $0xc76c51a3
DATA constants<>+176(SB)/4, $0xd192e819
DATA constants<>+180(SB)/4, $0xd6990624
DATA constants<>+184(SB)/4, $0xf40e3585
DATA constants<>+188(SB)/4, $0x106aa070
DATA constants<>+192(SB)/4, $0x19a4c116
DATA constants<>+196(SB)/4, $0x1e376c08
DATA constants<>+200(SB)/4, $0x2748774c
DATA constants<>+204(SB)/4, $0x34b0bcb5
DATA constants<>+208(SB)/4, $0x391c0cb3
DATA constants<>+212(SB)/4, $0x4ed8aa4a
DATA constants<>+216(SB)/4, $0x5b9cca4f
DATA constants<>+220(SB)/4, $0x682e6ff3
DATA constants<>+224(SB)/4, $0x748f82ee
DATA constants<>+228(SB)/4, $0x78a5636f
DATA constants<>+232(SB)/4, $0x84c87814
DATA constants<>+236(SB)/4, $0x8cc70208
DATA constants<>+240(SB)/4, $0x90befffa
DATA constants<>+244(SB)/4, $0xa4506ceb
DATA constants<>+248(SB)/4, $0xbef9a3f7
DATA constants<>+252(SB)/4, $0xc67178f2
GLOBL constants<>(SB), RODATA|NOPTR, $256

#include "textflag.h"

// SHA-256 (FIPS 180-4) of sixteen messages: Z0 to Z7 are the working variables a to h, Z8 to Z23 the last sixteen words of the
// message schedule, each with one 32-bit number for each message. Z28 and Z29 are the addresses of the blocks, Z30 the order of bytes
// in a big-endian word. VPTERNLOGD is any function of three bits: 0x96 their sum, 0xCA a choice, 0xE8 the majority.

// word gathers the word at OFFSET of all blocks.
#define word(OFFSET, W, WY) \
	KXNORW K1, K1, K1                 \
	VPXORD W, W, W                    \
	VPGATHERQD OFFSET(R9)(Z28*1), K1, WY  \
	KXNORW K1, K1, K1                 \
	VPXORD Z24, Z24, Z24              \
	VPGATHERQD OFFSET(R9)(Z29*1), K1, Y24 \
	VINSERTI64X4 $1, Y24, W, W        \
	VPSHUFB Z30, W, W

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
	XORQ R9, R9
	VMOVDQU64 (SI), Z28
	VMOVDQU64 64(SI), Z29
	VBROADCASTI32X4 order<>(SB), Z30
	VPBROADCASTQ length<>(SB), Z31
	VMOVDQU32 (DI), Z0
	VMOVDQU32 64(DI), Z1
	VMOVDQU32 128(DI), Z2
	VMOVDQU32 192(DI), Z3
	VMOVDQU32 256(DI), Z4
	VMOVDQU32 320(DI), Z5
	VMOVDQU32 384(DI), Z6
	VMOVDQU32 448(DI), Z7

block:
	LEAQ constants<>(SB), R8
	word(0, Z8, Y8)
	word(4, Z9, Y9)
	word(8, Z10, Y10)
	word(12, Z11, Y11)
	word(16, Z12, Y12)
	word(20, Z13, Y13)
	word(24, Z14, Y14)
	word(28, Z15, Y15)
	word(32, Z16, Y16)
	word(36, Z17, Y17)
	word(40, Z18, Y18)
	word(44, Z19, Y19)
	word(48, Z20, Y20)
	word(52, Z21, Y21)
	word(56, Z22, Y22)
	word(60, Z23, Y23)
	VPADDQ Z31, Z28, Z28
	VPADDQ Z31, Z29, Z29

	round(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, 0)
	round(Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z9, 4)
	round(Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z10, 8)
	round(Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z11, 12)
	round(Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z12, 16)
	round(Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z13, 20)
	round(Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z14, 24)
	round(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z15, 28)
	round(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z16, 32)
	round(Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z17, 36)
	round(Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z18, 40)
	round(Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z19, 44)
	round(Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z20, 48)
	round(Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z21, 52)
	round(Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z22, 56)
	round(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z23, 60)

	MOVQ $3, DX

rounds:
	ADDQ $64, R8
	scheduled(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z17, Z22, 0)
	scheduled(Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z9, Z10, Z18, Z23, 4)
	scheduled(Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z10, Z11, Z19, Z8, 8)
	scheduled(Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z11, Z12, Z20, Z9, 12)
	scheduled(Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z12, Z13, Z21, Z10, 16)
	scheduled(Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z13, Z14, Z22, Z11, 20)
	scheduled(Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z14, Z15, Z23, Z12, 24)
	scheduled(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z15, Z16, Z8, Z13, 28)
	scheduled(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z16, Z17, Z9, Z14, 32)
	scheduled(Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z17, Z18, Z10, Z15, 36)
	scheduled(Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z18, Z19, Z11, Z16, 40)
	scheduled(Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z19, Z20, Z12, Z17, 44)
	scheduled(Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z20, Z21, Z13, Z18, 48)
	scheduled(Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z21, Z22, Z14, Z19, 52)
	scheduled(Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z22, Z23, Z15, Z20, 56)
	scheduled(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z23, Z8, Z16, Z21, 60)
	DECQ DX
	JNZ rounds

	VPADDD (DI), Z0, Z0
	VPADDD 64(DI), Z1, Z1
	VPADDD 128(DI), Z2, Z2
	VPADDD 192(DI), Z3, Z3
	VPADDD 256(DI), Z4, Z4
	VPADDD 320(DI), Z5, Z5
	VPADDD 384(DI), Z6, Z6
	VPADDD 448(DI), Z7, Z7
	VMOVDQU32 Z0, (DI)
	VMOVDQU32 Z1, 64(DI)
	VMOVDQU32 Z2, 128(DI)
	VMOVDQU32 Z3, 192(DI)
	VMOVDQU32 Z4, 256(DI)
	VMOVDQU32 Z5, 320(DI)
	VMOVDQU32 Z6, 384(DI)
	VMOVDQU32 Z7, 448(DI)
	DECQ CX
	JNZ block
	VZEROUPPER

done:
	RET

DATA order<>+0(SB)/8, $0x0405060700010203
DATA order<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL order<>(SB), RODATA|NOPTR, $16

DATA length<>+0(SB)/8, $64
GLOBL length<>(SB), RODATA|NOPTR, $8

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

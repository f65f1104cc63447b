# SPDX-License-Identifier: MIT
# judge.awk: read a console, and what QEMU has written beside it; print a TAP line a test, and end
# with 1 if anything was not as it must be: a test that failed or said too little, a kernel that
# complained, an end that is missing.
function fail(what) { bad++; print "not ok " row ": " what }

FNR == 1 { log_open = 0; expected = 0 }

/^vm: test / { test = $3; plan = -1; seen = 0; next }
/^1\.\.[0-9]+/ { split($1, parts, "\\.\\."); plan = parts[2]; next }
# cmocka writes the name behind, TAP has the reason there. Nothing is counted as passed.
/^(not )?ok [0-9]+ .*# SKIP/ {
	if (test != "") {
		seen++
		sub(/^(not )?ok [0-9]+( -)? /, "")
		sub(/ *# SKIP */, "")
		print "skip " row ": " test ": " $0
	}
	next
}
/^not ok / { if (test != "") { seen++; fail(test ": " substr($0, 8)) } next }
/^ok / {
	if (test != "") { seen++; passed++; print "ok " row ": " test ": " substr($0, 4) }
	next
}
/^vm: exit / {
	if ($3 != 0) fail(test ": exit status " $3)
	if (plan < 0) fail(test ": no plan")
	else if (seen != plan) fail(test ": " seen " of " plan " results")
	test = ""
	next
}
# Nobody expects faults of the test after it.
/^vm: log$/ { log_open = 1; expected = 0; next }
/^vm: log ends/ { log_open = 0; next }
/^vm: done/ { done = 1; next }
/twostep: expect-dma-faults/ { expected = 1 }
/twostep: no-more-dma-faults/ { expected = 0 }
/Kernel panic|end Kernel/ { fail("the guest has panicked: " $0) }
# What the DMA debugging says of itself while all is well; anything else is a complaint.
/DMA-API: (preallocated|debugging enabled by|dma_debug_entry pool grown)/ { next }
log_open && /WARNING:|BUG:|kernel BUG at|Oops|Call Trace|DMA-API:|soft lockup|INFO: (task|rcu)/ {
	fail("the kernel has complained: " $0)
}
# An IOMMU that its driver has told something wrong.
log_open && /Invalidation (Queue|Time-out|Completion) Error|Completion-Wait loop timed out/ {
	fail("the kernel has complained: " $0)
}
log_open && /AMD-Vi: Event logged/ && !/IO_PAGE_FAULT|INVALID_DEVICE_REQUEST/ {
	fail("the kernel has complained: " $0)
}
log_open && !expected && /DMAR:.*[Ff]ault|IO_PAGE_FAULT|INVALID_DEVICE_REQUEST|fault from EP|page fault/ {
	fail("a DMA fault that no test expects: " $0)
}
# A write that QEMU has refused, of which the kernel hears nothing; one line speaks for all. Reads
# are no fault there: a processor's read of a BAR that is switched off looks the same.
/^Invalid write at addr / {
	if (!expected && !strays++) fail("a DMA fault that no test expects: QEMU: " $0)
}
END {
	if (!done) fail("the guest has not come to its end")
	if (!bad && !passed) fail("no test ran")
	exit bad ? 1 : 0
}

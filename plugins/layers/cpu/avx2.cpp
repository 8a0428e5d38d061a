#define GSDD_ISA avx2
#include "entry.h"

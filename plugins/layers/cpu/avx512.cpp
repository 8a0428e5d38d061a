#define GSDD_ISA avx512
#include "entry.h"

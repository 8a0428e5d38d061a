#define GSDD_ISA baseline
#include "entry.h"
